"""A real control plane in a process of its own, and the databases that it can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgresql import Cluster, cluster
from recorder import Recorder

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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server."""
    with cluster() as made:
        if made is None:
            pytest.skip("Debian's package postgresql is not installed")
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new database, which the control planes of the test use."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'control.db'}"
    else:
        # Started for the tests that need it.
        pytest.importorskip("psycopg")
        url = request.getfixturevalue("postgresql").new_database()
    monkeypatch.setenv("MLOPS_CONTROL_DATABASE", url)
    return url


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


@pytest.fixture
def house(stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from registered_models import House

    from mlops_workbench.control.plane import ControlPlane
    from mlops_workbench.control.services.aliases import AliasService

    # Its jobs do not run here, so nobody would write the alias meanwhile.
    monkeypatch.setattr(AliasService, "wait_until_written", lambda *_: False)
    made = House(ControlPlane(stored_workspace, on_shutdown=lambda: None), Recorder(stored_workspace))
    yield made
    made.close()
