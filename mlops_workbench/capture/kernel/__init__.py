"""The process that user code runs in: the IPython shell, notices, deferred work, threads."""
