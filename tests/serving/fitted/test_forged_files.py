"""Forged and damaged files beside a model are refused with a clear error, whatever is in them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.model_schema import EVALUATION_FILE, GOLDEN_FILE, SCHEMA_FILE, decode_schema
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.fitted.evaluation import read_evaluation
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.routing.router import Router

X = pd.DataFrame({"a": np.arange(60.0), "n": np.arange(60) % 7})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    save_fitted(Workspace.init(root), root / "m", LinearRegression().fit(X, X.a), X, X.a)
    return root / "m"


def forged(original: Path, folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a model folder in which one file was changed before the manifest was written."""
    for file in original.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(original)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    write_manifest(folder)
    return folder


def changed(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **fields}).encode()


def column(place: int, **fields: Any) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        schema = json.loads(content)
        schema["columns"][place].update(fields)
        return json.dumps(schema).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: b'{"a":' * 5000,
        lambda content: b"[]",
        changed(columns=[]),
        changed(form="cube"),
        changed(form="polars"),
        changed(form="matrix"),
        changed(version=2),
        changed(labels={"labels": 5}),
        column(0, type="long"),
        column(0, restored={"field": "polars.Series"}),
        column(0, restored={"numpy": "nonsense"}),
        column(1, restored={"numpy": "float64"}),
        column(0, restored={}),
        column(0, name=5),
        changed(problem="it says so"),
    ],
    ids=range(16),
)
def test_a_forged_schema_is_refused(original, tmp_path, change) -> None:
    folder = forged(original, tmp_path / "m", SCHEMA_FILE, change)
    with pytest.raises(InvalidModel):
        Router(ServingSettings()).switch("m", 1, folder)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_golden_set_is_refused_or_reproduced(original, tmp_path, seed) -> None:
    """A byte may be one that nothing reads."""
    chance = np.random.default_rng(seed)

    def flip(content: bytes) -> bytes:
        data = bytearray(content)
        data[int(chance.integers(len(data)))] ^= 1 << int(chance.integers(8))
        return bytes(data)

    folder = forged(original, tmp_path / "m", GOLDEN_FILE, flip)
    with contextlib.suppress(InvalidModel):
        Router(ServingSettings()).switch("m", 1, folder)


def test_damaged_test_rows_are_refused(original) -> None:
    schema = decode_schema((original / SCHEMA_FILE).read_bytes())
    assert not (original / EVALUATION_FILE).exists()
    for content in (b"", b"PAR1", (original / GOLDEN_FILE).read_bytes()[:-40], (original / GOLDEN_FILE).read_bytes()):
        with pytest.raises(ValueError):
            read_evaluation(content, schema)
