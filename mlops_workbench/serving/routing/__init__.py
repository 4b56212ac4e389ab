"""Routing of requests to model versions."""
