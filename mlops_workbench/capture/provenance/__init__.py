"""Where a run comes from: the log of executed cells, names, randomness, the notebook file."""
