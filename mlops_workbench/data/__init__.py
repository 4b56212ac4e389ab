"""What a table or file holds: content, digest, profile, schema, snapshot, comparison."""
