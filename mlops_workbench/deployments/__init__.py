"""The supervisor of endpoint processes, which reconciles their actual state with the desired one."""

from mlops_workbench.deployments.supervisor import Supervisor

__all__ = ["Supervisor"]
