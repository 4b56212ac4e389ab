"""Fixtures for ingest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest


@pytest.fixture
def ingest(stored_workspace: Workspace) -> Iterator[Ingest]:
    with Ingest(stored_workspace) as opened:
        yield opened
