"""Display of values: numbers, durations, colours, sparklines."""
