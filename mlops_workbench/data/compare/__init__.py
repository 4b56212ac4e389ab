"""Two versions of data beside each other: differences, a check against a schema, drift."""
