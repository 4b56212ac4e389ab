"""Paths that are forwarded to the control plane."""

from __future__ import annotations

import pytest

from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.server.paths import control_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("status", "/api/status"),
        ("runs/1a2b/artifacts/figures/a%20b.png", "/api/runs/1a2b/artifacts/figures/a%20b.png"),
        ("models/caf%C3%A9/versions/1", "/api/models/caf%C3%A9/versions/1"),
        ("models/a%2Fb/versions", "/api/models/a%2Fb/versions"),
        ("pipelines/50%25/runs", "/api/pipelines/50%25/runs"),
        ("endpoints/a b", "/api/endpoints/a%20b"),
    ],
)
def test_a_path_is_normalised(raw: str, path: str) -> None:
    assert control_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "runs/",
        "runs//x",
        "runs/../shutdown",
        "runs/%2e%2e/shutdown",
        "runs/%2E./shutdown",
        "runs/..%2f..%2fshutdown",
        "runs/..%5c..%5cshutdown",
        "runs/a%2F..%2Fb",
        "runs/./x",
        "runs/%00",
        "runs/a%0d%0aHost:x",
        "runs/%ff",
    ],
)
def test_relative_and_unprintable_paths_are_refused(raw: str) -> None:
    with pytest.raises(InvalidInput):
        control_path(raw)


@pytest.mark.parametrize("raw", ["shutdown", "events", "openapi.json", "health", "local-models/x", "Runs"])
def test_paths_that_are_not_forwarded_are_not_found(raw: str) -> None:
    with pytest.raises(NotFound, match="unknown path"):
        control_path(raw)


def test_an_encoded_percent_sign_is_decoded_once_only() -> None:
    assert control_path("runs/%252e%252e") == "/api/runs/%252e%252e"
