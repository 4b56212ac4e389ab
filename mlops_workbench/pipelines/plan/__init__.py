"""From a spec to a plan: stages in order, with all values for their notebooks."""
