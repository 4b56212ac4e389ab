"""The process that user code runs in: the IPython shell, notices, work after the reply, threads."""
