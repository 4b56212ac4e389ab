"""Pipelines of notebooks: spec, plan, and the processes that run them."""
