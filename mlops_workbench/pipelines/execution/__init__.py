"""The processes that run a pipeline and its stages."""
