"""What a store refuses, or cannot take now, holds up nothing else."""

from __future__ import annotations

import contextlib
import sqlite3

from mlflow import MlflowClient
from recorder import Recorder

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Heartbeat, Metrics, Tags
from mlops_workbench.tracking import Ingest


def _attempt(ingest: Ingest) -> bool:
    """Deliver once, whatever the pause after a failure; True when nothing is left to deliver."""
    with contextlib.suppress(Unavailable):
        ingest.drain(timeout=0)
        return True
    return False


def test_a_kernel_that_lives_on_does_not_begin_the_patience_with_its_store_anew(ingest: Ingest) -> None:
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
