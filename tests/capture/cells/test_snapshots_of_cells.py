"""A snapshot is read back and compared after the reply to the cell, before it is called kept."""

from __future__ import annotations

import pytest
from kernels import Kernel, until

from mlops_workbench.core.records import Artifact, Dataset, Tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.snapshot import read_snapshot

pytestmark = pytest.mark.process

SETUP = """
import time
import pandas as pd
from mlops_workbench import log_dataset, track
from mlops_workbench.capture import current_session
"""


@pytest.fixture(scope="module", autouse=True)
def prepared(kernel):
    kernel.run(SETUP)


def last(kernel, run):
    return kernel.records.of(Dataset, run)[-1]


def printed(outputs):
    return "".join(one["text"] for one in outputs if one["output_type"] == "stream" and one["name"] == "stdout")


def test_a_snapshot_has_the_values_of_the_call_and_is_called_kept_after_the_reply(kernel):
    outputs = kernel.run(
        "%%track kept\ntable = pd.DataFrame({'x': [1.0, 2.0], 0: [True, False]})\n"
        "log_dataset(table, 'table', snapshot=True)\n"
        "table['x'] = 0.0\nprint([data.snapshot for data in current_session().current_run().datasets])"
    )
    assert "['']" in printed(outputs), "it was not read back yet"
    kernel.run("pass")
    found = last(kernel, "kept")
    back = read_snapshot(kernel.records.blob(found.snapshot))
    assert back["x"].tolist() == [1.0, 2.0] and list(back.columns) == ["x", 0]
    assert [one.path for one in kernel.records.of(Artifact, "kept") if one.kind == "table"] == ["data/table.parquet"]


def test_a_snapshot_that_differs_fails_no_cell_and_costs_no_data_entry(kernel):
    kernel.run(
        "%%track refused\nodd = pd.DataFrame({'d': [{'a': 1}, {'b': 2}], 'x': [1, 2]})\n"
        "log_dataset(odd, 'odd', snapshot=True)\nrest = 'ran'"
    )
    assert "ran" in printed(kernel.run("print(rest)"))
    found = last(kernel, "refused")
    assert (found.name, found.rows, found.snapshot) == ("odd", 2, "")
    said = kernel.records.values(Tags, "refused")["mlops.data.no_snapshot"]
    assert said.startswith("odd: ") and "differs in 'd'" in said


def test_a_snapshot_survives_a_cell_that_runs_for_long_and_kills_the_kernel(tmp_path):
    Workspace.init(tmp_path)
    kernel = Kernel(tmp_path)
    try:
        kernel.run(SETUP)
        kernel.send("%%track long\nlog_dataset(pd.DataFrame({'x': [1.0]}), 'table', snapshot=True)\ntime.sleep(600)")
        until(lambda: [data for data in kernel.records.of(Dataset) if data.snapshot], "the snapshot of a running cell")
        kernel.manager.shutdown_kernel(now=True)
        assert read_snapshot(kernel.records.blob(last(kernel, "long").snapshot))["x"].tolist() == [1.0]
    finally:
        kernel.close()


def test_blocks_of_a_loop_have_the_snapshots_of_their_own_data(kernel):
    kernel.run(
        "table = pd.DataFrame({'x': [0.0]})\nfor turn in range(3):\n    table['x'] = float(turn)\n"
        "    with track(f'turn {turn}'):\n        log_dataset(table, 'table', snapshot=True)"
    )
    kernel.run("pass")
    for turn in range(3):
        assert read_snapshot(kernel.records.blob(last(kernel, f"turn {turn}").snapshot))["x"].tolist() == [turn]


def test_errors_of_objects_in_the_data_are_named_as_such(kernel):
    kernel.run(
        """%%track foreign
class Odd:
    def __getattr__(self, name):
        raise ZeroDivisionError(name)

seen = []
for wanted in (True, None):
    try:
        log_dataset(pd.DataFrame({"o": [Odd(), Odd()], "x": [1, 2]}), f"odd {wanted}", snapshot=wanted)
    except Exception as error:
        seen.append(type(error).__name__)
"""
    )
    (shown,) = kernel.run("seen")
    assert set(eval(shown["data"]["text/plain"])) <= {"InvalidInput"}
    assert "odd None" in {data.name for data in kernel.records.of(Dataset, "foreign")}
