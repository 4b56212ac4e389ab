"""Jupyter server extension: authenticated access from JupyterLab to the workspace's control plane."""
