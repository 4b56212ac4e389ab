"""What a model was fitted on: its schema, inputs restored from a request, and rows that prove its answers."""
