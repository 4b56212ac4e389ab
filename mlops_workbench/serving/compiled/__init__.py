"""Pipelines of scikit-learn as programs of few array operations, without pandas and without checks per step."""
