"""The control plane: one process per workspace that delivers journals and reconciles endpoints."""
