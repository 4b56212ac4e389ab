"""Observation of a cell's run from its syntax tree and the namespace, without patching libraries."""
