"""The store: real SQLite on a real disk, restarts, kills, lost power."""
