"""Values as bytes: canonical objects, columns, Arrow arrays, passes over columns."""
