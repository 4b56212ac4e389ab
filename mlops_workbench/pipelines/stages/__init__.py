"""The process of an attempt at a stage, and the engine of papermill."""
