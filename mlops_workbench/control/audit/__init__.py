"""The audit trail: a chain of entries to which each change of a model or an endpoint adds one in its transaction."""
