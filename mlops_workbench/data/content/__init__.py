"""Canonical bytes of objects, columns and Arrow arrays, and passes over columns."""
