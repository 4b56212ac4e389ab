"""Services of the control plane, one module per noun."""
