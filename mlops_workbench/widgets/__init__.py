"""Outputs of a cell that change while it runs: widgets, or updates where there are none."""
