"""Names that a cell reads, binds and changes."""
