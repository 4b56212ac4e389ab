"""The client of a control plane, for kernels, shells and the Jupyter server."""
