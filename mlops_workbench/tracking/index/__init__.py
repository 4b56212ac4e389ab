"""The read index: schema, writer, reader, search."""
