"""The display of a run that goes on: what is shown of it, and how as text."""
