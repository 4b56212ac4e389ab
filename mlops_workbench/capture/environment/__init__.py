"""The environment of a run: git, machine, distributions, environment variables."""
