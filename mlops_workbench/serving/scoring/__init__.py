"""Files of any size, answered by a model without an endpoint's process."""
