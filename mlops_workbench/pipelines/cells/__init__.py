"""The cells of a notebook in a kernel: the client that runs them, the record of their execution, their outputs."""
