"""Rows of a request: signature, typed values, batch."""
