"""The client without a reachable control plane."""

from __future__ import annotations

import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("url", "kind"),
    [("http://127.0.0.1:9", Unavailable), ("127.0.0.1:9", InvalidInput), ("http://[::1", InvalidInput)],
)
def test_the_url_of_a_remote_control_plane_that_cannot_be_reached_is_named(
    url: str, kind: type[WorkbenchError], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_URL", url)
    monkeypatch.setenv("MLOPS_TOKEN", "token")
    with pytest.raises(kind) as raised, Client.connect(workspace) as client:
        client.runs()
    assert url in str(raised.value)
    assert "MLOPS_URL" in str(raised.value)
