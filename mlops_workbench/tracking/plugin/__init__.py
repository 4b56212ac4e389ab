"""MLflow plugin for the tracking URI ``mlops://``, which logs to the journal."""
