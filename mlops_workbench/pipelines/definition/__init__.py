"""Pipeline specs, read from YAML."""
