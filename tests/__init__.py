"""The tests: one folder per room, one file per source file."""
