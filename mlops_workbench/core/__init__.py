"""Nouns, ids, settings, workspace and errors: what every other package builds on."""
