"""Loading of verified model folders, and prediction."""
