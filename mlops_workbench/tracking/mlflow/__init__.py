"""MLflow's store, registry, database and model folder."""
