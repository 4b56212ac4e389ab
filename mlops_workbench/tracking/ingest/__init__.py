"""The loop that feeds the index and MLflow from the journals."""
