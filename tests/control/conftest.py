"""A real control plane in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace


def stop(workspace: Workspace) -> None:
    """End the control plane and its endpoints, by their ids."""
    try:
        with Client.connect(workspace, start=False) as client:
            endpoints = [endpoint.name for endpoint in client.endpoints()]
            for name in endpoints:
                client.remove_endpoint(name)
            client.shutdown()
    except Exception:
        pass
    address = read_address(workspace)
    if address is not None:
        address.process.stop(grace=20)


@pytest.fixture
def stopped() -> Iterator[Callable[[Workspace], None]]:
    """Call with a workspace: what the test starts for it is stopped afterwards."""
    workspaces: list[Workspace] = []
    yield workspaces.append
    for workspace in workspaces:
        stop(workspace)


@pytest.fixture
def running(workspace: Workspace) -> Iterator[Client]:
    """A client of a fresh control plane, stopped afterwards."""
    try:
        with Client.connect(workspace) as client:
            yield client
    finally:
        stop(workspace)
