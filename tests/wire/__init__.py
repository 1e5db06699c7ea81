"""Bytes in, frames out: whole sessions and a whole broker, both ends in memory."""
