"""A cell as a run: its execution, output, data, searches, and autotracking."""
