"""Results of stages, found again when nothing that they depend on has changed."""
