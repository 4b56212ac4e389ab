"""Batches and parts of runs to MLflow, exactly once."""
