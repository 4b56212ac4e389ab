"""Which values the trials of a sweep get, when a sweep ends, and what its trials say: pure functions."""
