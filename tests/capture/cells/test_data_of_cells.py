"""Data in a real kernel: described before the reply when it is quick, after it when not, and never lost."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel, until

from mlops_workbench.core.records import Artifact, Dataset, RunEnd, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

SETUP = """
import numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression
from mlops_workbench import log_dataset, track
rng = np.random.default_rng(0)
X = pd.DataFrame(rng.random((500, 3)), columns=list("abc"))
y = X.sum(axis=1).rename("target")
big = pd.DataFrame(rng.random((400_000, 12)))
target = big[0]
"""


def test_small_data_is_known_with_the_reply_and_has_a_schema(kernel):
    kernel.run(SETUP)
    kernel.run("%%track small\nmodel = LinearRegression().fit(X, y)")
    records = kernel.records
    first = {data.name: data for data in records.of(Dataset, "small")}
    assert first["X"].rows == 500 and first["X"].covers == "content" and len(first["X"].digest) == 32
    kernel.run("pass")
    last = {data.name: data for data in records.of(Dataset, "small")}
    assert last["X"].digest == first["X"].digest
    schema = json.loads(records.blob(last["X"].schema))
    assert schema["columns"]["a"]["dtype"] == "float64" and not schema["columns"]["a"]["nullable"]
    assert "schema/X.json" in {file.path for file in records.of(Artifact, "small")}
    kernel.run("%%track again\nmodel = LinearRegression().fit(X.copy(), y)")
    kernel.run("X2 = X.copy(); X2.iloc[7, 1] += 1e-12")
    kernel.run("%%track other\nmodel = LinearRegression().fit(X2, y)")
    assert {d.digest for d in records.of(Dataset, "again")} == {d.digest for d in records.of(Dataset, "small")}
    assert first["X"].digest not in {data.digest for data in records.of(Dataset, "other")}


def test_large_data_is_described_after_the_reply_as_the_cell_left_it(kernel):
    kernel.run(SETUP)
    kernel.run("%%track large\nmodel = LinearRegression().fit(big, target)")
    kernel.run("big.iloc[0, 0] = 7.0")
    found = {data.name: data for data in kernel.records.of(Dataset, "large")}
    assert found["big"].rows == 400_000 and found["big"].covers == "content"
    kernel.run("%%track changed\nmodel = LinearRegression().fit(big, target)")
    kernel.run("pass")
    assert {d.name: d.digest for d in kernel.records.of(Dataset, "changed")}["big"] != found["big"].digest
    order = [type(r) for r in kernel.records.all() if getattr(r, "run_uid", "") == found["big"].run_uid]
    assert order.index(RunEnd) < order.index(Dataset)


def test_a_kernel_that_ends_at_once_has_described_its_data(tmp_path):
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path)
    try:
        kernel.run(SETUP)
        # The end is asked for while the cell runs; asked any sooner, the kernel would not begin it.
        kernel.send("%%track last\nmodel = LinearRegression().fit(big, target)")
        until(lambda: [start for start in kernel.records.of(RunStart) if start.name == "last"], "the run's start")
        kernel.manager.request_shutdown()
        until(lambda: not kernel.manager.is_alive(), "the kernel's end")
        assert {data.name for data in kernel.records.of(Dataset, "last")} >= {"big"}
    finally:
        kernel.close()


def test_a_budget_makes_a_sample_and_says_so(tmp_path):
    (tmp_path / "workbench.toml").write_text('[capture]\ndigest_seconds = 0.005\nsnapshot = "training"\n')
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path)
    try:
        kernel.run(SETUP)
        kernel.run(
            "%%track sampled\nmodel = LinearRegression().fit(big, target)\nlog_dataset(X, 'mine', context='test')"
        )
        kernel.run("pass")
        found = {data.name: data for data in kernel.records.of(Dataset, "sampled")}
        assert found["big"].covers == "sampled" and found["big"].profile["examined"] < 400_000
        assert found["big"].snapshot and not found["mine"].snapshot
        assert found["mine"].covers == "content" and not found["mine"].schema
    finally:
        kernel.close()
