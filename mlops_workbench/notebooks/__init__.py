"""Notebook documents: parameters, injected values, names and lineage of cells; pure functions without a kernel."""
