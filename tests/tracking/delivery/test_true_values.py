"""All logged values are in MLflow in a form that it accepts, and their exact value can be recovered from it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from mlops_workbench.capture import Session
from mlops_workbench.core.records import Metrics, Params, decode
from mlops_workbench.journal import read_frames
from mlops_workbench.tracking import Ingest

METRICS = {
    "plain": 0.1,
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "huge": 10**400,
    "beyond 53 bits": 2**53 + 1,
    "beyond 64 bits": -(2**70),  # a power of two is a double
    "float32": np.float32(0.1),
    "int64": np.int64(-7),
    "bool": np.bool_(True),
    "größe μ 北 🚀": 2.0,
    "f1@k (macro)": 3.0,
    "../../up": 4.0,
    "x" * 5000: 5.0,
    "x" * 4999 + "y": 6.0,
    " ": 7.0,
}
PARAMS = {
    "text": "x" * 10_000,
    "name of 北 [0]": "ä" * 10_000,
    "none": None,
    "huge": 10**400,
    "nan": math.nan,
    "numpy": np.float64(0.25),
    "nested": {"a": [1, np.int64(2)], "b": (None, True)},
}
#: Metrics that no finite double holds, with their sign: their true value stands beside them.
INEXACT = {"inf": 1, "minus inf": -1, "huge": 1, "beyond 53 bits": 1}


@pytest.fixture(scope="module")
def many() -> dict[str, int]:
    return {f"p{i}": i for i in range(1000)}


def test_values_of_every_kind_are_true_in_the_journal_and_recoverable_from_mlflow(
    ingest: Ingest, many: dict[str, int], tmp_path: Path
) -> None:
    session = Session(ingest.workspace)
    run = session.start_run("true")
    run.log(METRICS)
    run.log_params(PARAMS)
    run.log_params(many)
    run.end()
    session.close()

    kept_metrics, kept_params = {}, {}
    for path in sorted(ingest.workspace.journal.glob("*.mlj")):
        for frame in read_frames(path):
            record = decode(frame.type, frame.payload)
            if isinstance(record, Metrics) and record.origin == "logged":
                kept_metrics |= record.values
            elif isinstance(record, Params) and record.origin == "logged":
                kept_params |= record.values
    assert list(kept_metrics) == list(METRICS)
    for name, value in METRICS.items():
        assert kept_metrics[name] == value or (math.isnan(value) and math.isnan(kept_metrics[name])), name
    assert kept_params["text"] == PARAMS["text"] and kept_params["huge"] == 10**400
    assert kept_params["nested"] == {"a": [1, 2], "b": [None, True]}
    assert {name: kept_params[name] for name in many} == many

    ingest.drain()
    assert ingest.refused() == []
    client = MlflowClient(ingest.store.uri, ingest.store.uri)
    stored = client.get_run(ingest.index.find(run.uid).run_id)
    tags, run_id = stored.data.tags, stored.info.run_id
    renamed = {
        text(client, run_id, tags, tag, tmp_path): tag.removeprefix("mlops.name.")
        for tag in tags
        if tag.startswith("mlops.name.")
    }

    for name, value in METRICS.items():
        key = renamed.get(name, name)
        found = stored.data.metrics[key]
        if name in INEXACT:
            assert math.isfinite(found) and math.copysign(1, found) == INEXACT[name]
            assert tags[f"mlops.metric.{key}"] == str(value)
        else:
            assert found == float(value) or (math.isnan(found) and math.isnan(value)), name
    assert stored.data.params["none"] == "None" and stored.data.params["numpy"] == "0.25"
    assert stored.data.params["nested"] == '{"a": [1, 2], "b": [null, true]}'
    assert stored.data.params["huge"] == str(10**400)
    for name in ("text", "name of 北 [0]"):
        key = renamed.get(name, name)
        assert PARAMS[name].startswith(stored.data.params[key].removesuffix("…"))
        whole = client.download_artifacts(run_id, f"mlops/params/{key}.txt", str(tmp_path))
        assert Path(whole).read_text() == PARAMS[name]
    assert {name: int(stored.data.params[name]) for name in many} == many


def text(client: MlflowClient, run_id: str, tags: dict[str, str], tag: str, folder: Path) -> str:
    """A tag's value in full: a long one is cut, and beside it as a file."""
    if not tags[tag].endswith("…"):
        return tags[tag]
    return Path(client.download_artifacts(run_id, f"mlops/tags/{tag}.txt", str(folder))).read_text()
