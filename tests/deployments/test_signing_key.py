"""The process of an endpoint, which loads models, does not get the key that signs them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlops_workbench.deployments.endpoint_folder import EndpointFolder


def test_an_endpoint_has_the_environment_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: started.append(options))
    monkeypatch.setenv("MLOPS_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----")
    monkeypatch.setenv("OTHER", "1")
    EndpointFolder(tmp_path).launch(tmp_path)
    assert "MLOPS_SIGNING_KEY" not in started[0]["env"] and started[0]["env"]["OTHER"] == "1"
