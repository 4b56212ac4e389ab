"""What surrounds a run: git, machine, distributions, environment variables."""
