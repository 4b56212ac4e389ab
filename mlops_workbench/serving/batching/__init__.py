"""Requests that arrive together are answered together, without waiting for one another."""
