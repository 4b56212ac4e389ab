"""Tables as MLflow reads them, with every value that JSON can hold."""

from __future__ import annotations

import datetime
import json
import math

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.capture.api import log_table, track
from mlops_workbench.capture.run.tables import ShownTable, is_shown_table, read_table
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.workspace import Workspace


def content(data):
    found = json.loads(read_table(data).to_json())
    return found["columns"], found["data"]


def test_values_are_kept_or_converted_to_json():
    frame = pd.DataFrame(
        {
            "f": [1.5, None, math.inf],
            "i": [1, 2, 2**60 + 1],
            "b": [True, False, True],
            "t": [pd.Timestamp("2024-01-01"), pd.NaT, pd.Timestamp("2024-01-03T12:00")],
            "c": pd.Categorical(["ü", "y", None]),
            "n": pd.array([1, None, 3], dtype="Int64"),
            "o": [{"a": np.float64(1)}, [1, np.int64(2)], object],
        }
    )
    columns, rows = content(frame)
    assert columns == list("fibtcno")
    assert rows[0] == [1.5, 1, True, "2024-01-01T00:00:00", "ü", 1, {"a": 1.0}]
    assert rows[1] == [None, 2, False, None, "y", None, [1, 2]]
    assert rows[2][:2] == ["Infinity", 2**60 + 1] and rows[2][4] is None and "object" in rows[2][6]


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        ({"a": [1, 2], "b": ("x", "y")}, ["a", "b"], [[1, "x"], [2, "y"]]),
        ({"a": np.arange(2), "b": pd.Series([1.0, 2.0])}, ["a", "b"], [[0, 1.0], [1, 2.0]]),
        ({"auc": 0.9, "name": "forest"}, ["auc", "name"], [[0.9, "forest"]]),
        ([{"a": 1}, {"a": 2, "b": 3}], ["a", "b"], [[1, None], [2, 3]]),
        ([[1, 2], [3]], ["0", "1"], [[1, 2], [3, None]]),
        ([1, "x"], ["value"], [[1], ["x"]]),
        (np.eye(2), ["0", "1"], [[1.0, 0.0], [0.0, 1.0]]),
        (np.array([1, 2]), ["value"], [[1], [2]]),
        (pd.Series([1, 2], name="s"), ["s"], [[1], [2]]),
        (pd.Series([1, 2], index=["x", "y"]), ["index", "value"], [["x", 1], ["y", 2]]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["a", "a.2"], [[1, 2]]),
        (pd.DataFrame({("a", "min"): [1]}), ["a min"], [[1]]),
        (pd.DataFrame({"a": [1]}, index=pd.Index([7], name="key")), ["key", "a"], [[7, 1]]),
        (pd.DataFrame({"d": [datetime.date(2024, 1, 2)]}), ["d"], [["2024-01-02"]]),
        (pd.DataFrame(), [], []),
    ],
)
def test_tables_of_every_kind_are_read(data, columns, rows):
    assert content(data) == (columns, rows)


def test_what_is_left_out_of_a_table_that_is_shown_is_said_and_later_changes_do_not_count():
    frame = pd.DataFrame(np.zeros((3000, 300)))
    shown = ShownTable.copy(frame)
    frame.iloc[0, 0] = 5
    table = shown.read()
    assert (len(table.rows), len(table.columns)) == (1000, 200) and table.rows[0][0] == 0
    assert table.note == "the first 1,000 of 3,000 rows, the first 200 of 300 columns"
    small = ShownTable.copy(pd.DataFrame({"a": [1, 2]}).style).read()
    assert small.rows == [[1], [2]] and small.note == ""
    assert "characters" in read_table({"a": ["x" * 20_000]}).rows[0][0]


@pytest.mark.parametrize("data", [3, "text", None, {"a": [1], "b": [1, 2]}, {"a": [1], "b": 2}])
def test_what_is_no_table_is_refused_in_words(data):
    with pytest.raises(InvalidInput):
        read_table(data)


def test_frames_are_what_a_notebook_shows_as_tables():
    frame = pd.DataFrame({"a": [1]})
    assert is_shown_table(frame) and not is_shown_table(frame["a"]) and not is_shown_table(None)


def test_mlflow_reads_the_table_of_a_run(session: Session, stored_workspace: Workspace) -> None:
    from mlflow import MlflowClient

    from mlops_workbench.tracking import Ingest

    frame = pd.DataFrame({"name": ["ä", "b"], "score": [0.5, math.inf], "n": [1, 2]})
    with track("with a table"):
        log_table(frame, "results/scores")
        log_table([{"a": 1}], "other.json")
        log_table([{"a": 2}], "other.json")
    with Ingest(stored_workspace) as ingest:
        ingest.drain()
        assert ingest.refused() == []
    client = MlflowClient(stored_workspace.tracking_uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == session.experiment]
    import mlflow

    mlflow.set_tracking_uri(stored_workspace.tracking_uri)
    pd.testing.assert_frame_equal(client.load_table(experiment.experiment_id, "results/scores.json"), frame)
    assert client.load_table(experiment.experiment_id, "other.json")["a"].tolist() == [2]
