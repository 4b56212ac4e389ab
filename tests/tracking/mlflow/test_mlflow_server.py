"""Delivery to an MLflow server over HTTP, which may be unavailable."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow_server import free_port, mlflow_server
from recorder import Recorder, flights
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import Registry
from mlops_workbench.serving.routing.router import load_version
from mlops_workbench.serving.signatures.keys import public_text, signing_key
from mlops_workbench.tracking import Ingest, TrackingStore

pytestmark = pytest.mark.process


@pytest.mark.timeout(420)
def test_an_unavailable_server_delays_delivery_and_loses_nothing(
    workspace: Workspace, mlflow_database: Path, tmp_path: Path
) -> None:
    port = free_port()
    served = Workspace.open(workspace.root, {"tracking.uri": f"http://ann:secret@127.0.0.1:{port}"})
    shutil.copyfile(mlflow_database, tmp_path / "server.db")
    frame = flights()[["distance", "delay"]].fillna(0.0)
    estimator = LinearRegression().fit(frame, frame["distance"])

    recorder = Recorder(served)
    uid = recorder.start()
    recorder.put(
        Params(uid, {"a": 1, "odd|name": 2}),
        *(Metrics(uid, now_ms(), step, {"mae": float(step), "nan": float("nan")}) for step in range(600)),
    )
    with Ingest(served) as ingest:
        # Nothing listens: lists are live, the trouble is told, without the password.
        ingest.step()
        run = ingest.index.find("boosted")
        assert (run.metrics["mae"], run.run_id) == (599.0, "")
        status = ingest.status()
        assert status.backlog_bytes > 0
        assert "does not answer" in status.problem
        assert "secret" not in status.problem + status.tracking
        with pytest.raises(Unavailable):
            ingest.drain(uid, timeout=0.1)

        with mlflow_server(tmp_path, port):
            recorder.artifact(uid, "plots/ä.png", b"png")
            recorder.model(uid, estimator, frame)
            recorder.end(uid)
            ingest.drain(uid, timeout=240)
            assert ingest.status().problem == ""
            assert ingest.status().backlog_bytes == 0
            assert ingest.refused() == []
            uri = f"http://127.0.0.1:{port}"
            client = MlflowClient(uri, uri)
            run = ingest.index.find(uid)
            stored = client.get_run(run.run_id)
            assert stored.info.status == "FINISHED"
            assert len(client.get_metric_history(run.run_id, "mae")) == 600
            assert stored.data.metrics["mae"] == 599.0

            registry = Registry(ingest.store, ingest.index, served)
            version = registry.register(run, "eta")
            registry.store.set_alias("eta", "champion", version.version)
            assert registry.resolve("eta@champion") == ("eta", 1)
            folder = registry.export("eta", 1)
            assert (folder / "model.skops").is_file()
            assert version.notice == ""
            load_version("eta", 1, folder, ServingSettings(trusted_keys=[_own_key()], require_signature=True))

            mlflow.set_tracking_uri(uri)
            try:
                loaded = mlflow.sklearn.load_model("models:/eta@champion")
            finally:
                mlflow.set_tracking_uri(None)
            np.testing.assert_array_equal(loaded.predict(frame), estimator.predict(frame))

        # Gone again: what comes now waits for the next time.
        late = recorder.start("late")
        ingest.step()
        assert ingest.index.find(late).run_id == ""
        assert ingest.status().problem


def _own_key() -> str:
    found = signing_key()
    assert found is not None
    return public_text(found.public)


def test_a_database_of_an_earlier_mlflow_is_migrated_and_a_copy_is_kept(stored_workspace: Workspace) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    database = stored_workspace.state / "mlflow.db"
    config = utils._get_alembic_config(f"sqlite:///{database}")
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    command.downgrade(config, "-1")
    earlier = scripts.get_revision(newest).down_revision
    TrackingStore(stored_workspace).ping()
    copy = database.with_name(f"mlflow-{earlier}.db")
    for path, revision in ((database, newest), (copy, earlier)):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]


def test_another_schema_version_is_reported_with_what_to_do(stored_workspace: Workspace) -> None:
    connection = sqlite3.connect(stored_workspace.state / "mlflow.db")
    connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.commit()
    connection.close()
    with pytest.raises(Unavailable, match="mlflow db upgrade"):
        TrackingStore(stored_workspace).ping()
    recorder = Recorder(stored_workspace)
    recorder.start("a")
    with Ingest(stored_workspace) as ingest:
        ingest.step()
        assert ingest.index.find("a").name == "a"
        assert "another version of MLflow" in ingest.status().problem


def test_two_first_users_at_once_make_one_database(workspace: Workspace) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from mlops_workbench.core.workspace import Workspace\n"
        "from mlops_workbench.tracking import TrackingStore\n"
        "print(TrackingStore(Workspace.open(Path(sys.argv[1]))).experiment_id('one'))"
    )
    users = [
        subprocess.Popen([sys.executable, "-c", script, str(workspace.root)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    deadline = time.monotonic() + 120
    ids = [user.communicate(timeout=deadline - time.monotonic())[0].decode().strip() for user in users]
    assert [user.returncode for user in users] == [0, 0]
    assert ids[0] == ids[1] != ""
