"""Values as a person reads them: numbers, durations, colours, sparklines."""
