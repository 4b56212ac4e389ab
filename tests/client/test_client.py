"""The client: what it says when no control plane can be reached."""

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
def test_a_control_plane_elsewhere_that_cannot_be_reached_is_named(
    url: str, kind: type[WorkbenchError], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_URL", url)
    monkeypatch.setenv("MLOPS_TOKEN", "token")
    with pytest.raises(kind) as raised, Client.connect(workspace) as client:
        client.runs()
    assert url in str(raised.value)
    assert "MLOPS_URL" in str(raised.value)
