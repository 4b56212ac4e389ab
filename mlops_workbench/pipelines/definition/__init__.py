"""What a pipeline is, read from YAML."""
