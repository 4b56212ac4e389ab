"""A notebook as a document: typed parameters and exact injection; pure functions, no kernel."""
