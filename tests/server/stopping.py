"""Stops the processes that the tests of the server extension start."""

from __future__ import annotations

from mlops_workbench.client.launch import find_running, read_address
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace


def stop(workspace: Workspace) -> ProcessIdentity | None:
    """End the workspace's control plane and wait until it is gone."""
    address = read_address(workspace)
    if address is None:
        return None
    assert address.process.stop(grace=20)
    assert find_running(workspace) is None
    return address.process
