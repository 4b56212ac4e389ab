"""Fixtures for ingest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest


@pytest.fixture
def ingest(stored_workspace: Workspace) -> Iterator[Ingest]:
    with Ingest(stored_workspace) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _environment_of_mlflow() -> Iterator[None]:
    """MLflow notes the experiment that was set in the environment, where later tests would find it."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    yield
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)
