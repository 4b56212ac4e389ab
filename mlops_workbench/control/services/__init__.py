"""What the control plane does, one service per noun."""
