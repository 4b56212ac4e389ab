"""Jupyter server extension: an authenticated way from JupyterLab to the workspace's control plane."""
