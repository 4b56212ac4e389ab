"""The executions of cells that a run depends on, and whether the notebook can reproduce it."""
