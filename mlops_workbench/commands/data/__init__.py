"""Commands on data versions."""
