"""Records that a store refuses, or cannot accept now, block nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from recorder import Recorder, flights, model_record
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Heartbeat, Metrics, Params, Tags
from mlops_workbench.tracking import Ingest
from mlops_workbench.tracking.mlflow.errors import translated


def _attempt(ingest: Ingest) -> bool:
    """Deliver once, whatever the pause after a failure; True when nothing is left to deliver."""
    with contextlib.suppress(Unavailable):
        ingest.drain(timeout=0)
        return True
    return False


@pytest.mark.long
def test_heartbeats_do_not_reset_the_count_of_failed_deliveries(ingest: Ingest) -> None:
    ingest.store.ping()
    with contextlib.closing(sqlite3.connect(ingest.workspace.state / "mlflow.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON tags WHEN NEW.key = 'poison'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    recorder.put(Tags(uid, {"poison": "x"}), Metrics(uid, now_ms(), 0, {"mae": 1.0}))
    attempts = 0
    while not _attempt(ingest):
        attempts += 1
        assert attempts < 12, ingest.status().problem
        recorder.put(Heartbeat(now_ms(), now_ms() + 20_000))
    assert [what for _, what, _ in ingest.refused()] == ["tag ('poison', 'x')"]
    assert MlflowClient(ingest.store.uri).get_run(uid).data.metrics == {"mae": 1.0}


def _redirect(ingest: Ingest, experiment: str, location: str) -> None:
    """Artifacts of an experiment, and of its runs, are elsewhere from now on."""
    database = ingest.workspace.state / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (location, experiment))
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || '/' || run_uuid || '/artifacts' WHERE experiment_id ="
            " (SELECT experiment_id FROM experiments WHERE name = ?)",
            (location, experiment),
        )


def test_artifacts_that_cannot_be_kept_now_hold_up_nothing_else(ingest: Ingest, tmp_path: Path) -> None:
    """The backend of the artifacts has an exception of its own: a package is missing, credentials are."""
    client = MlflowClient(ingest.store.uri)
    client.create_experiment("flights")
    _redirect(ingest, "flights", "s3://bucket/flights")
    first, second = Recorder(ingest.workspace), Recorder(ingest.workspace)
    uid = first.start("stuck")
    first.artifact(uid, "plot.png", b"png")
    first.put(Metrics(uid, now_ms(), 0, {"mae": 1.0}))
    first.end(uid, output="hello")
    next_uid = first.start("next")
    first.end(next_uid)
    other = second.start("other", "elsewhere")
    second.artifact(other, "other.txt", b"text")
    second.end(other)

    assert not _attempt(ingest)
    assert "boto3" in ingest.status().problem
    assert ingest.status().backlog_bytes == 0
    stuck = client.get_run(uid)
    assert (stuck.info.status, stuck.data.metrics) == ("FINISHED", {"mae": 1.0})
    assert [client.get_run(run_id).info.status for run_id in (next_uid, other)] == ["FINISHED"] * 2
    assert [item.path for item in client.list_artifacts(other)] == ["other.txt"]
    assert ingest.index.find(uid).run_id == uid
    # Who waits for another run does not wait for these files.
    ingest.drain(other, timeout=0)
    with pytest.raises(Unavailable, match="boto3"):
        ingest.drain(uid, timeout=0)
    # A later file of that name comes after the earlier one.
    first.artifact(uid, "plot.png", b"later")
    assert not _attempt(ingest)

    _redirect(ingest, "flights", (tmp_path / "mended").as_uri())
    ingest.close()
    # MLflow keeps to the place of a run's artifacts for as long as a process lives; this one goes on.
    _artifact_repos_cache.clear()
    with Ingest(ingest.workspace) as restarted:
        restarted.drain(timeout=60)
        assert restarted.status().problem == "" and restarted.refused() == []
    assert sorted(item.path for item in client.list_artifacts(uid)) == ["logs", "plot.png"]
    assert Path(client.download_artifacts(uid, "plot.png", str(tmp_path))).read_bytes() == b"later"


def test_a_session_that_cannot_be_delivered_does_not_block_newer_ones(ingest: Ingest) -> None:
    ingest.store.ping()
    with contextlib.closing(sqlite3.connect(ingest.workspace.state / "mlflow.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON runs WHEN NEW.name = 'poison'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    Recorder(ingest.workspace).start("poison")
    uid = Recorder(ingest.workspace).start("later")
    assert not _attempt(ingest)
    assert "not this one" in ingest.status().problem
    assert MlflowClient(ingest.store.uri).get_run(uid).info.run_name == "later"
    assert ingest.index.find("later").run_id == uid


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'x'"), Exception("no credentials")])
def test_whatever_a_backend_raises_is_an_error_of_the_workbench(error: Exception) -> None:
    with pytest.raises(Unavailable, match=str(error)), translated("http://ann:secret@host"):
        raise error


def test_records_of_a_deleted_run_are_delivered_when_it_is_restored(ingest: Ingest) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    ingest.drain()
    client = MlflowClient(ingest.store.uri)
    client.delete_run(uid)
    recorder.put(Metrics(uid, now_ms(), 0, {"mae": 2.0}))
    ingest.drain()
    recorder.put(Metrics(uid, now_ms(), 1, {"mae": 1.0}), Params(uid, {"a": 1}))
    recorder.artifact(uid, "a.txt", b"text")
    recorder.end(uid)
    # Nobody waits for what may never come.
    ingest.drain(uid, timeout=30)
    client.restore_run(uid)
    while ingest.follow():
        pass
    ingest.drain(uid, timeout=30)
    run = client.get_run(uid)
    assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {"a": "1"}, {"mae": 1.0})
    assert [point.value for point in client.get_metric_history(uid, "mae")] == [2.0, 1.0]
    assert [item.path for item in client.list_artifacts(uid)] == ["a.txt"]
    assert ingest.index.find(uid).status == "FINISHED"


def test_runs_of_a_restored_experiment_are_delivered_again(ingest: Ingest) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    ingest.drain()
    client = MlflowClient(ingest.store.uri)
    client.delete_experiment(client.get_run(uid).info.experiment_id)
    recorder.put(Metrics(uid, now_ms(), 0, {"mae": 2.0}))
    ingest.drain()
    # A new run needs the experiment, and brings it back.
    recorder.start("second")
    ingest.drain(timeout=60)
    recorder.end(uid)
    ingest.drain(uid, timeout=60)
    run = client.get_run(uid)
    assert (run.info.lifecycle_stage, run.info.status, run.data.metrics) == ("active", "FINISHED", {"mae": 2.0})


@pytest.mark.parametrize("path", ["../outside.txt", "/outside.txt"])
def test_a_model_with_a_file_outside_its_folder_is_refused_and_delays_nothing(ingest: Ingest, path: str) -> None:
    recorder = Recorder(ingest.workspace)
    uid = recorder.start()
    frame = flights()[["distance", "delay"]].fillna(0.0)
    model = model_record(ingest.workspace, uid, LinearRegression().fit(frame, frame["distance"]), frame)
    recorder.put(msgspec.structs.replace(model, files={**model.files, path: model.files["model.skops"]}))
    recorder.put(Metrics(uid, now_ms(), 0, {"mae": 1.0}))
    ingest.drain(timeout=60)
    assert [what for _, what, _ in ingest.refused()] == ["model model"]
    assert MlflowClient(ingest.store.uri).get_run(uid).data.metrics == {"mae": 1.0}
