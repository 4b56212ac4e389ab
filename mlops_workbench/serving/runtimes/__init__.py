"""Loading a verified model folder, and predicting with the model."""
