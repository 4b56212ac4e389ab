"""First specs, written from notebooks."""
