"""Conversion of values to records, and their writing to the journal."""
