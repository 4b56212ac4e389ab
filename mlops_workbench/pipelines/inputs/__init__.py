"""Inputs of a stage: made before its kernel starts, and their digests."""
