"""The control plane: one process per workspace that delivers journals and keeps what is wanted true."""
