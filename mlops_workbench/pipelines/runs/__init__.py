"""The folder, the events and the state of a pipeline run."""
