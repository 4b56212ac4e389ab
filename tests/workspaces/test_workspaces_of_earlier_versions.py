"""Workspaces that earlier versions made are opened by this one: shown, served from, worked in, and nothing is lost.

Each archive in ``fixtures`` was made by `make_workspace.py` with the version in its name, and is never changed.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from packaging.version import Version

import mlops_workbench

pytestmark = pytest.mark.process

ARCHIVES = sorted((Path(__file__).parent / "fixtures").glob("*.tar.xz"))
#: Folders whose files are written once: none of them may change or go.
KEPT = ("journal/*.mlj", "store/*/*", "artifacts/**/*", "models/**/*", "pipelines/**/*", "feedback/**/*.parquet",
        "snapshots/*")  # fmt: skip
RUNS = {
    "baseline": ("run", "FINISHED", 0.34),
    "logistic": ("run", "FINISHED", 0.98),
    "Größe & Länge der Blätter": ("run", "FINISHED", 0.72),
    "search": ("run", "FINISHED", None),
    "search/1": ("run", "FINISHED", None),
    "search/2": ("run", "FINISHED", None),
    "search/3": ("run", "FINISHED", None),
    "broken": ("run", "FAILED", None),
    "iris": ("pipeline", "FINISHED", None),
    "prepare": ("stage", "FINISHED", None),
    "train": ("stage", "FINISHED", 29 / 30),
}
COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.8, 4.4, 1.3], [6.7, 3.0, 5.8, 2.3]]
KINDS = ["setosa", "versicolor", "virginica"]
#: A run that is tracked today.
LATER = """
from mlops_workbench import log, log_artifact, track
with track("later"):
    log(accuracy=0.5)
    log_artifact(b"petals", "petals.txt")
"""


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def workspace(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An unpacked workspace, the working folder of the test; what runs for it is stopped afterwards."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path / "früher & jetzt", filter="data")
    root = tmp_path / "früher & jetzt" / "iris"
    monkeypatch.chdir(root)
    yield root
    mlops("down")


def mlops(*words: str) -> Any:
    """Run a command and return its result."""
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words, "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
    return found


def listing() -> Any:
    """All runs: a read index of another version is made anew beside the first answers."""

    def whole() -> Any:
        found = mlops("runs", "--all")
        return found if len(found) >= len(RUNS) and all(run["run_id"] for run in found) else None

    return eventually(whole)


def client_of(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root / '.mlops' / 'mlflow.db'}")


@pytest.mark.long
def test_what_was_made_is_shown_as_it_was(workspace: Path, tmp_path: Path) -> None:
    listed = listing()
    assert {run["name"]: (run["kind"], run["status"], run["metrics"].get("accuracy")) for run in listed} == RUNS
    uids = {run["name"]: run["uid"] for run in listed}
    parents = {run["name"]: run["parent_uid"] for run in listed if run["parent_uid"]}
    children = {f"search/{number}": uids["search"] for number in (1, 2, 3)}
    assert parents == {**children, "prepare": uids["iris"], "train": uids["iris"]}
    assert [run["name"] for run in mlops("runs", "metrics.accuracy > 0.7 and params.C = 0.5")] == ["logistic"]

    shown = mlops("show", "logistic")
    assert [point["value"] for point in shown["history"]["loss"]] == [1 / step for step in range(1, 31)]
    assert (shown["run"]["params"]["max_iter"], shown["run"]["tags"]["team"]) == ("500", "botany")
    files = {file["path"]: file["kind"] for file in shown["artifacts"]}
    assert files.items() >= {"petals.png": "figure", "kinds.json": "table", "data/flowers.parquet": "table"}.items()
    assert [(model["name"], model["format"]) for model in shown["models"]] == [("model", "skops")]
    assert shown["output"] == "50 flowers of three kinds\n"
    assert shown["source"].startswith("%%track logistic\nC = 0.5\n")
    assert mlops("show", "broken")["traceback"].endswith("ValueError: no such flower: Tulpe\n")
    assert mlops("show", "Größe & Länge der Blätter")["run"]["tags"]["mlflow.note.content"] == "nur zwei Spalten"

    versions = mlops("models", "iris")
    assert [(v["version"], v["aliases"], v["metrics"]["accuracy"]) for v in versions] == [
        (2, ["champion"], 29 / 30),
        (1, ["previous"], 0.34),
    ]
    assert [check["detail"] for check in versions[0]["gate"]["checks"]] == ["0.966667 >= 0.9", "0.966667 >= 0.34"]
    pipeline = mlops("pipeline", "show", "iris")["run"]
    assert (pipeline["state"], pipeline["params"], pipeline["published"]) == ("succeeded", {"C": 0.5}, "iris/2")
    assert [(stage["name"], stage["state"], stage["cells"]) for stage in pipeline["stages"]] == [
        ("prepare", "succeeded", 3),
        ("train", "succeeded", 3),
    ]
    [endpoint] = mlops("endpoints")
    assert (endpoint["name"], endpoint["model"], endpoint["wanted_version"]) == ("iris", "iris@champion", 2)
    [alert] = mlops("alerts")
    assert (alert["kind"], alert["window"], alert["version"]) == ("drift+quality", "2024-05-03", 2)
    [monitor] = mlops("monitor")
    assert [
        (window["label"], window["rows"], window["versions"], window["coverage"], window["degraded"])
        for window in monitor["windows"]
    ] == [
        ("2024-05-01", 150, [1], 1.0, False),
        ("2024-05-02", 150, [2], 1.0, True),
        ("2024-05-03", 150, [2], 1.0, True),
    ]
    assert [window["quality"] for window in monitor["windows"]] == pytest.approx([1 / 3, 19 / 30, 19 / 30])

    # What programs see, and MLflow without this project.
    frame = mlops_workbench.runs("tags.team = 'botany'")
    assert frame[["run_name", "metrics.loss", "params.C"]].to_numpy().tolist() == [["logistic", 1 / 30, "0.5"]]
    assert mlops_workbench.load_dataset("logistic", "flowers").shape == (100, 4)
    client = client_of(workspace)
    stored = client.get_run(frame["run_id"][0])
    assert (stored.info.run_name, stored.data.metrics["accuracy"]) == ("logistic", 0.98)
    assert len(client.get_metric_history(stored.info.run_id, "loss")) == 30
    assert len(client.search_runs([stored.info.experiment_id])) == len(RUNS)
    assert int(client.get_model_version_by_alias("iris", "champion").version) == 2
    picture = download_artifacts(artifact_uri=f"{stored.info.artifact_uri}/petals.png", dst_path=str(tmp_path))
    assert Path(picture).read_bytes().startswith(b"\x89PNG")

    # The read index is a cache.
    mlops("down")
    for file in (workspace / ".mlops").glob("index.db*"):
        file.unlink()
    eventually(lambda: listing() == listed)
    assert mlops("show", "logistic") == shown


def ask(url: str) -> tuple[str, list[str]]:
    """The version that answers, and what it says, which is the same in both protocols."""
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [len(FLOWERS)], "data": list(values)}
        for name, values in zip(COLUMNS, zip(*FLOWERS, strict=True), strict=True)
    ]
    split = {"dataframe_split": {"columns": COLUMNS, "data": FLOWERS}}
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        answer = http.post("/v2/models/iris/infer", json={"inputs": inputs}).raise_for_status().json()
        scored = http.post("/invocations", json=split).raise_for_status().json()
    kinds = answer["outputs"][0]["data"]
    assert scored["predictions"] == kinds
    return answer["model_version"], kinds


def ready() -> Any:
    """The endpoint, once it answers."""
    return eventually(lambda: next((e for e in mlops("endpoints") if e["state"] == "ready"), None))


@pytest.mark.long
def test_its_endpoint_comes_back_and_goes_back(workspace: Path) -> None:
    [written] = {
        line
        for file in workspace.rglob("requirements.txt")
        for line in file.read_text().split("\n")
        if "scikit" in line
    }
    if Version(version("scikit-learn")) < Version(written.partition("==")[2]):
        pytest.skip(f"scikit-learn {version('scikit-learn')} reads no model of {written}")
    [alert] = mlops("alerts")
    mlops("up")
    endpoint = ready()
    assert ask(endpoint["url"]) == ("2", KINDS)
    # New predictions and their truth join those that were logged before, in the window of their day.
    flowers = pd.DataFrame(FLOWERS, columns=COLUMNS)
    answers = mlops_workbench.predict("iris", flowers, event_time="2024-05-02T18:00:00Z")
    assert mlops_workbench.feedback("iris", answers, KINDS) == 3
    eventually(lambda: [(w["rows"], w["coverage"]) for w in mlops("monitor", "iris")["windows"]][1] == (153, 1.0))

    back = mlops("rollback", "iris", "--reason", "the answers are worse")
    assert (back["version"], back["previous"]) == (1, 0)
    history = [(release["version"], release["kind"]) for release in mlops("releases", "iris")]
    assert history[0] == (1, "rollback") and history[-1] == (1, "deploy")
    assert ask(back["url"]) == ("1", ["versicolor"] * 3)
    assert mlops("models")[0]["aliases"] == {"champion": 1, "previous": 2}
    assert [(old["id"], old["message"]) for old in mlops("alerts")] == [(alert["id"], alert["message"])]


def predictions(state: Path) -> set[tuple[str, int]]:
    """The rows in the prediction logs: ids of requests, and places in them."""
    files = state.glob("predictions/**/*.parquet")
    tables = [pq.ParquetFile(file).read(columns=["request_id", "row"]) for file in files]
    return {(row["request_id"], row["row"]) for table in tables for row in table.to_pylist()}


def test_work_goes_on_and_nothing_is_lost(workspace: Path) -> None:
    state = workspace / ".mlops"
    files = {file: file.read_bytes() for pattern in KEPT for file in state.glob(pattern) if file.is_file()}
    answered = predictions(state)
    revisions = {file: revision(file) for file in state.rglob("*.db") if file.name != "index.db"}
    assert answered and len(files) > 80 and {file.name for file in revisions} >= {"control.db", "mlflow.db"}
    before = {run["uid"] for run in listing()}

    subprocess.run([sys.executable, "-c", LATER], check=True, timeout=60)
    ran = mlops("pipeline", "run", "iris")
    assert (ran["state"], ran["params"], ran["published"]) == ("succeeded", {"C": 1.0}, "iris/3")
    listed = {run["uid"]: run["name"] for run in listing()}
    assert before < listed.keys()
    assert sorted(name for uid, name in listed.items() if uid not in before) == ["iris", "later", "prepare", "train"]
    assert [version["version"] for version in mlops("models", "iris")] == [3, 2, 1]
    eventually(lambda: ready()["version"] == 3)
    # Delivered into this workspace, not to where it was made.
    later = mlops_workbench.runs("attributes.run_name = 'later'")["run_id"][0]
    stored = client_of(workspace).get_run(later)
    assert stored.info.artifact_uri.startswith(state.as_uri())
    eventually(lambda: "petals.txt" in {file.path for file in client_of(workspace).list_artifacts(later)})

    mlops("down")
    assert [file for file, content in files.items() if not file.is_file() or file.read_bytes() != content] == []
    # Their files are compacted.
    assert answered <= predictions(state)
    for file, old in revisions.items():
        if revision(file) != old:
            copies = [copy for copy in file.parent.glob(f"{file.stem}*") if copy != file and is_database(copy)]
            assert old in [revision(copy) for copy in copies], f"{file.name} was migrated and no copy of it was kept"


def is_database(file: Path) -> bool:
    with open(file, "rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def revision(database: Path) -> object:
    """Revision of the schema, however the database notes it."""
    with closing(sqlite3.connect(database)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return connection.execute("PRAGMA user_version").fetchone()[0]
