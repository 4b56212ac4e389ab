"""Shutdown of endpoints: a running step does not start them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor


@pytest.mark.parametrize("stopped", [True, False])
def test_a_step_that_is_overtaken_by_the_shutdown_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    plane = ControlPlane(Workspace.init(tmp_path), lambda: None)
    reconciled = []
    monkeypatch.setattr(Supervisor, "reconcile", lambda *_: reconciled.append(True))
    # The registry answers late; the user's 'down' comes while it is asked.
    monkeypatch.setattr(plane.endpoints, "follow", plane.endpoints.stop_all if stopped else lambda: None)
    plane.endpoints.step()
    assert bool(reconciled) is not stopped
