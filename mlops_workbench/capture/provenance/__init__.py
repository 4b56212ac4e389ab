"""Provenance of runs: the log of executed cells, names, randomness, the notebook file."""
