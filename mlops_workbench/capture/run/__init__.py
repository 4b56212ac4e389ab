"""A run in progress, and what is kept with it."""
