"""Data classes, ids, settings, workspace and errors, shared by all other packages."""
