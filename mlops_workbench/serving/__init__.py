"""Data plane: the process of an endpoint, its protocols, versions and logs; independent of the control plane."""
