"""A model folder to sign."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from model_folders import build


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("linear", tmp_path_factory.mktemp("signed") / "model").folder


@pytest.fixture
def model(saved_model: Path, tmp_path: Path) -> Path:
    """A copy of an exported model."""
    return Path(shutil.copytree(saved_model, tmp_path / "a model ü"))
