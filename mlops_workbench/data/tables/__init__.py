"""Which kind of table an object is, its columns, and any table as a data frame."""
