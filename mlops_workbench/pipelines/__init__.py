"""Notebook pipelines: spec, plan, and the processes that run them."""
