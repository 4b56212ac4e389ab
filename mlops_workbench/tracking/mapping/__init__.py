"""Journal records as MLflow's values, tags and rows."""
