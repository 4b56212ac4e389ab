"""Comparison of two versions of data: differences, a check against a schema, drift."""
