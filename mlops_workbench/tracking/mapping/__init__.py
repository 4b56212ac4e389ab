"""Records in MLflow's terms: values, tags, rows."""
