"""The names that a cell reads, writes and changes."""
