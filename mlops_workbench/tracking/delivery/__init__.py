"""Delivery of journal records to MLflow, exactly once."""
