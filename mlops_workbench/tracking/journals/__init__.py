"""Journal files as batches of records: reading, watching, retention."""
