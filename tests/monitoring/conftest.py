"""Fixtures of the monitoring tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from prediction_traffic import Traffic


@pytest.fixture
def traffic(tmp_path: Path) -> Traffic:
    """Traffic into a folder whose name is hard for globs, SQL and ASCII."""
    return Traffic(tmp_path / "it's [a] *wörk space*")
