"""``mlops data`` from end to end: a session that records, a control plane, MLflow, a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mlops_workbench.capture.session.session import Session
from mlops_workbench.client.client import Client
from mlops_workbench.client.datasets import load_dataset
from mlops_workbench.client.launch import read_address
from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.mlops_magic import split

pytestmark = pytest.mark.process


class Place:
    """A frontend with variables."""

    def __init__(self, workspace: Workspace, **variables: Any) -> None:
        self.workspace = workspace
        self.variables = variables

    def client(self) -> Client:
        return Client.connect(self.workspace)

    def experiment(self) -> str | None:
        return None

    def table(self, expression: str) -> Any:
        try:
            return eval(expression, {}, self.variables)
        except Exception as error:
            raise InvalidInput(str(error)) from error


def table(seed: int = 0, rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"price": rng.normal(100, 10, rows), "city": rng.choice(["Wien", "Köln"], rows), "n": rng.integers(0, 9, rows)}
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[Workspace]:
    """A workspace with three runs, and its control plane."""
    root = tmp_path_factory.mktemp("daten") / "mein Ordner ü"
    root.mkdir()
    workspace = Workspace.init(root)
    (workspace.state / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    session = Session(workspace)
    first = session.start_run("first")
    first.log_dataset(table(), "X", snapshot=True)
    first.log_dataset(table()["price"], "y", snapshot=True)
    first.log_dataset(sparse.csr_array(np.eye(5)), "S/ü", context="test", snapshot=True)
    first.log_dataset(np.arange(12.0).reshape(4, 3), "A", context="test", snapshot=True)
    first.end()
    second = session.start_run("second")
    changed = table()
    changed.loc[3, "price"] += 50
    second.log_dataset(changed.iloc[:-10], "X")
    second.end()
    # A record that comes after the end of its run.
    second.log_dataset(table(), "late", context="test")
    session.start_run("bare").end()
    session.close()
    yield workspace
    try:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


@pytest.fixture(scope="module")
def say(home: Workspace) -> Callable[..., View]:
    place = Place(home, table=table(), broken=table().assign(city="Linz"), matrix=sparse.eye_array(3))

    def speak(*words: str) -> View:
        view = run(words, place, prog="%mlops")  # type: ignore[arg-type]
        assert view is not None
        return view

    return speak


@pytest.fixture
def here(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MLOPS_WORKSPACE", str(home.root))
    return home


def test_a_version_lists_its_runs_and_when_it_was_first_used(say, home):
    found = say("data", "list", "first").data
    assert [v.name for v in found[:2]] == ["X", "y"] and {v.name for v in found[2:]} == {"S/ü", "A"}
    assert all(v.snapshot for v in found) and found[0].schema and not found[2].schema
    late = next(v for v in say("data", "list", "second").data if v.name == "late")
    # The same data under another name in another run is the same version, and its snapshot serves both.
    assert late.digest == found[0].digest and late.first_run == "first" and late.snapshot == found[0].snapshot
    uses = say("data", "list", found[0].digest[:10]).data
    assert [(v.run, v.name) for v in uses] == [("second", "late"), ("first", "X")]
    assert uses[0].first_ms == uses[1].start_ms
    with Client.connect(home) as client:
        assert {d.name: d.first_ms for d in client.run("second").datasets}["late"] == uses[1].start_ms
    assert found[0].profile["columns"][1]["values"] == ["Köln", "Wien"]
    for words in ("nothing", "ffffffffff"):
        with pytest.raises(NotFound):
            say("data", "list", words)


def test_a_snapshot_is_loaded_as_it_was_recorded(here):
    pd.testing.assert_frame_equal(load_dataset("first"), table())
    pd.testing.assert_series_equal(load_dataset("first", "y"), table()["price"])
    assert (load_dataset("first", "S/ü").toarray() == np.eye(5)).all()
    array = load_dataset("first", "A")
    assert array.dtype == np.float64 and (array == np.arange(12.0).reshape(4, 3)).all()
    with pytest.raises(NotFound, match="no data set 'Y'"):
        load_dataset("first", "Y")
    with pytest.raises(NotFound, match="snapshot"):
        load_dataset("second", "X")
    with pytest.raises(NotFound, match="no recorded data"):
        load_dataset("bare")


def test_the_same_data_is_kept_once(home):
    def kept() -> list[Path]:
        blobs = [path for path in (home.state / "store").rglob("*") if path.is_file()]
        return sorted(path for path in blobs if path.read_bytes()[:4] == b"PAR1")

    before = kept()
    assert len(before) == 4
    session = Session(home)
    again = session.start_run("again")
    again.log_dataset(table().copy(), "same", context="test", snapshot=True)
    again.end()
    session.close()
    assert kept() == before and again.datasets[0].snapshot in {path.name for path in before}


def test_get_writes_the_snapshot_and_overwrites_no_file(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    say("data", "get", "first")
    pd.testing.assert_frame_equal(pd.read_parquet("X.parquet"), table())
    with pytest.raises(InvalidInput, match="exists"):
        say("data", "get", "first")
    say("data", "get", "first", "--dataset", "S/ü", "-o", "sub dir.parquet")
    assert set(pd.read_parquet("sub dir.parquet").columns) == {"row", "column", "value"}


def test_runs_versions_files_and_tables_are_compared(say, tmp_path):
    found = say("data", "diff", "first", "second").data
    assert not found.same and found.rows == (400, 390) and not found.exact
    assert {c.name for c in found.columns} == {"price", "city", "n"}
    digest = say("data", "list", "first").data[0].digest
    assert say("data", "diff", digest[:12], "table").data.same
    table(5).to_parquet(tmp_path / "new data.parquet")
    found = say("data", "diff", "first", str(tmp_path / "new data.parquet"), "--dataset", "X").data
    assert found.exact and found.rows_added == found.rows_removed == 400
    assert say("data", "diff", "table", "table.iloc[::-1]").data.reordered
    sections = say("data", "diff", "first", "first")
    assert len(sections.sections) == 4 and all(d.same for d in sections.data)
    with pytest.raises(NotFound, match="not a file, a run, a version"):
        say("data", "diff", "first", "nowhere")


def test_new_data_is_checked_against_a_run(say):
    view = say("data", "check", "table.sample(50, random_state=1)", "--against", "first")
    assert not view.failed and view.data.passed
    view = say("data", "check", "broken", "--against", "first")
    assert view.failed and [f.column for f in view.data.failures] == ["city"] and len(view.frame()) == 400
    assert "Linz" in view.text() and "fails 1 check" in view.text()
    with pytest.raises(InvalidInput, match="no columns"):
        say("data", "check", "matrix", "--against", "first")


def test_a_shell_gets_an_exit_code(home, tmp_path):
    table(3).to_csv(tmp_path / "good.csv", index=False)
    table(3).drop(columns="city").to_parquet(tmp_path / "bad.parquet")
    env = {**os.environ, "MLOPS_WORKSPACE": str(home.root)}

    def mlops(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlops_workbench.cli", *words], env=env, cwd=tmp_path, capture_output=True, text=True
        )

    good = mlops("data", "check", "good.csv", "--against", "first")
    assert good.returncode == 0 and "passes" in good.stdout, good.stderr
    bad = mlops("data", "check", "bad.parquet", "--against", "first", "--json")
    assert bad.returncode == 1 and json.loads(bad.stdout)["failures"][0]["column"] == "city"
    assert mlops("data", "check", "none.csv", "--against", "first").returncode == 2


def test_mlflow_has_the_data_of_a_run_even_if_it_was_recorded_late(home):
    import mlflow

    client = mlflow.MlflowClient(home.tracking_uri)
    deadline = time.monotonic() + 90
    inputs: dict[str, dict[str, Any]] = {}
    with Client.connect(home) as workbench:
        run_ids = {name: workbench.run(name).run.uid for name in ("first", "second")}
    while time.monotonic() < deadline and len(inputs.get("second", {})) < 2:
        time.sleep(0.2)
        for name, run_id in run_ids.items():
            try:
                found = client.get_run(run_id)
            except mlflow.exceptions.MlflowException:
                continue
            inputs[name] = {item.dataset.name: item.dataset for item in found.inputs.dataset_inputs}
    assert set(inputs["second"]) == {"X", "late"}
    assert inputs["second"]["late"].digest == inputs["first"]["X"].digest
    profile = json.loads(inputs["first"]["X"].profile)
    assert profile["num_rows"] == 400 and profile["digest"] == "content" and profile["columns"]
    files = {item.path for folder in ("data", "schema") for item in client.list_artifacts(run_ids["first"], folder)}
    assert {"schema/X.json", "data/X.parquet", "data/S_ü.parquet"} <= files


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('data diff df["a"] other', ["data", "diff", 'df["a"]', "other"]),
        ("""data check 'df[df["a"] > 1]' --against r""", ["data", "check", 'df[df["a"] > 1]', "--against", "r"]),
        ('data check "my file.csv" --against r', ["data", "check", "my file.csv", "--against", "r"]),
    ],
)
def test_expressions_keep_their_quotes(line, words):
    assert split(line) == words
