"""MLflow code at journal speed: what stands behind the tracking URI ``mlops://``.

With ``mlflow.set_tracking_uri("mlops://")`` (or ``MLFLOW_TRACKING_URI=mlops://``) runs, metrics, parameters, tags
and data go to the workspace's journal and are read back from memory; everything else is asked of the workspace's
own MLflow store. ``mlops:///path`` names a workspace, ``mlops://`` is that of the working folder.
"""
