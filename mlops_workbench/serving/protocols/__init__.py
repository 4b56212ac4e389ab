"""Request and response bodies of the Open Inference Protocol and of MLflow's scoring protocol."""
