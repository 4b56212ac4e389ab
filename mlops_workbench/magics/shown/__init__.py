"""Outputs of cells: run cards and the live view."""
