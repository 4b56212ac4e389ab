"""From a value to a record in the journal."""
