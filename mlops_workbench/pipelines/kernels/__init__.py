"""Warm processes: kernels and stages, forked from servers that have imported what they need."""
