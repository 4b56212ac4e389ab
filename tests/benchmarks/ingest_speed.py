"""Speed of delivery of metrics from the journal to MLflow's database and the read index, and of MLflow's batches."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params, RunEnd
from mlops_workbench.core.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "support"))
from recorder import Recorder

#: Points per run in the half with many runs, and the largest batch of MLflow's `log_batch`.
POINTS_A_RUN = 1000
#: Fewer points for `log_batch`, whose speed does not depend on their number.
PEER_POINTS = 50_000


def ingest_speed(points: int, folder: Path | str) -> dict[str, float]:
    """Deliver `points` metric points: half of one run, half of runs with 1000 points each.

    Parameters
    ----------
    points : int
        Number of points, each a record, as from ``log(loss=...)`` in a loop.
    folder : Path or str
        Folder for the workspace and the database of the peer.

    Returns
    -------
    dict
        ``ingest_metrics_per_s``: all points, from the journal to MLflow and the read index;
        ``ingest_one_run_per_s`` and ``ingest_many_runs_per_s``: each half;
        ``mlflow_log_batch_per_s``: MLflow's client on its own database, 1000 metrics per call.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlops_workbench.tracking import Ingest

    home = Path(folder)
    workspace = Workspace.init(home / "workspace")
    half = max(points // 2, 1)
    with Ingest(workspace) as ingest:
        ingest.store.ping()
        one = _timed(workspace, ingest, runs=1, points=half)
        runs = max(half // POINTS_A_RUN, 1)
        many = _timed(workspace, ingest, runs=runs, points=half // runs)
        if problem := ingest.refused():
            raise AssertionError(f"refused: {problem[0]}")
    done = half + runs * (half // runs)
    return {
        "ingest_metrics_per_s": round(done / (one + many)),
        "ingest_one_run_per_s": round(half / one),
        "ingest_many_runs_per_s": round((done - half) / many),
        "mlflow_log_batch_per_s": round(_log_batch_per_s(min(points, PEER_POINTS), home)),
    }


def _timed(workspace: Workspace, ingest: Any, *, runs: int, points: int) -> float:
    """Return the seconds for the delivery of new runs."""
    _journal(workspace, runs, points)
    started = time.perf_counter()
    ingest.drain(timeout=3600)
    return time.perf_counter() - started


def _journal(workspace: Workspace, runs: int, points: int) -> None:
    recorder = Recorder(workspace, segment_bytes=16 << 20)
    at = now_ms()
    for number in range(runs):
        uid = recorder.start(f"run {number}", "ingest speed", start_ms=at)
        recorder.put(Params(uid, {"depth": number % 7, "rate": 0.1}))
        for step in range(points):
            recorder.put(Metrics(uid, at + step, step, {"loss": 1.0 / (step + 1)}))
        recorder.put(RunEnd(uid, at + points, "FINISHED"))
    recorder.close()


def _log_batch_per_s(points: int, folder: Path) -> float:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    uri = f"sqlite:///{folder / 'peer.db'}"
    client = MlflowClient(uri, uri)
    run_id = client.create_run("0").info.run_id
    at = int(time.time() * 1000)
    started = time.perf_counter()
    for first in range(0, points, 1000):
        metrics = [
            Metric("loss", 1.0 / (step + 1), at + step, step) for step in range(first, min(first + 1000, points))
        ]
        client.log_batch(run_id, metrics=metrics)
    return points / (time.perf_counter() - started)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(ingest_speed(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, scratch)))
