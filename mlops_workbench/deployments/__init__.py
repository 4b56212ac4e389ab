"""Desired state of endpoints, and the supervisor that makes it so."""

from mlops_workbench.deployments.supervisor import Supervisor

__all__ = ["Supervisor"]
