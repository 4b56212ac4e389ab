"""The processes of an endpoint: one that loads versions, and workers forked from it that answer requests."""
