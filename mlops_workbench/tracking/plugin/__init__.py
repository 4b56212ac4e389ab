"""MLflow plugin for the tracking URI ``mlops://``, which logs to the journal.

With ``mlflow.set_tracking_uri("mlops://")`` (or ``MLFLOW_TRACKING_URI=mlops://``) runs, metrics, parameters, tags
and data go to the workspace's journal and are read back from memory; all other calls go to the workspace's own
MLflow store. ``mlops:///path`` names a workspace, ``mlops://`` is that of the working folder.
"""
