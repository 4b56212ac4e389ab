"""Predictions and feedback as Parquet files."""
