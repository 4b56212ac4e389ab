"""Typed parameters of a notebook: declarations, types, injection of values."""
