"""Which executions of cells a run rests on, and whether the notebook can reproduce it."""
