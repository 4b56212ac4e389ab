"""Time to find the first page of many runs by a metric, and that of MLflow on the same database."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Params, RunEnd
from mlops_workbench.core.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "support"))
from recorder import Recorder

PAGE = 100
EXPERIMENT = "search speed"
FILTER = "metrics.auc > 0.8 and params.depth = '6'"
SEARCHES = 50
#: Timeout of one search by MLflow in seconds. A search that takes longer is reported with this time, a lower bound: the
#: time of MLflow grows faster than the number of runs.
PEER_SECONDS = 120


def search_speed(runs: int, folder: Path | str) -> dict[str, float]:
    """Journal and deliver `runs` runs with three metrics and four parameters each, then search them.

    Parameters
    ----------
    runs : int
        Number of runs.
    folder : Path or str
        Folder for the workspace.

    Returns
    -------
    dict
        Medians in milliseconds: ``search_100k_ms`` (first 100 runs by a metric) and ``mlflow_search_ms`` (the same
        by `MlflowClient.search_runs`, one search; `PEER_SECONDS` after a timeout, when ``mlflow_search_timed_out``
        is 1); ``search_filter_ms`` and ``mlflow_search_filter_ms``: with a filter. In seconds: ``build_s`` to journal,
        index and deliver the runs; ``rebuild_s`` to rebuild a deleted index.
    """
    from mlflow import MlflowClient

    from mlops_workbench.tracking import Ingest

    workspace = Workspace.init(Path(folder) / "workspace")
    began = time.perf_counter()
    _journal(workspace, runs)
    with Ingest(workspace) as ingest:
        ingest.drain(timeout=3600)
        built = time.perf_counter() - began
        index = ingest.index
        client = MlflowClient(ingest.store.uri, ingest.store.uri)
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id

        def ours(text: str) -> list[str]:
            found = index.runs(EXPERIMENT, filter=text, order_by="metrics.auc", descending=True, limit=PAGE)
            return [run.uid for run in found]

        figures = {"build_s": round(built, 1)}
        for name, text in (("search", ""), ("search_filter", FILTER)):
            figures["search_100k_ms" if name == "search" else f"{name}_ms"] = _median_ms(ours, text, SEARCHES)
            peer = _peer(ingest.store.uri, experiment, text)
            figures[f"mlflow_{name}_ms"] = peer["ms"] if peer else PEER_SECONDS * 1000.0
            figures[f"mlflow_{name}_timed_out"] = int(peer is None)
            if peer and peer["runs"] != ours(text):
                raise AssertionError(f"MLflow finds other runs for the filter: {text or 'none'}")
    for path in workspace.index.parent.glob(workspace.index.name + "*"):
        path.unlink()
    with Ingest(workspace) as ingest:
        began = time.perf_counter()
        while ingest._index_step():
            pass
        figures["rebuild_s"] = round(time.perf_counter() - began, 1)
    return figures


def _peer(uri: str, experiment: str, text: str) -> dict[str, Any] | None:
    """Return the runs that MLflow finds and its time in milliseconds; None after a timeout."""
    command = [sys.executable, __file__, "peer", uri, experiment, text]
    try:
        # In a process that can be stopped; its start and its imports do not count.
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PEER_SECONDS + 60)
    except subprocess.TimeoutExpired:
        return None
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer if answer["ms"] <= PEER_SECONDS * 1000 else None


def _answer_as_peer(uri: str, experiment: str, text: str) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    client.search_experiments(max_results=1)
    began = time.perf_counter()
    found = client.search_runs([experiment], text, order_by=["metrics.auc DESC"], max_results=PAGE)
    return {"ms": round((time.perf_counter() - began) * 1000, 1), "runs": [run.info.run_id for run in found]}


def _median_ms(search: Callable[[str], object], text: str, times: int) -> float:
    milliseconds = []
    for _ in range(times):
        began = time.perf_counter()
        search(text)
        milliseconds.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(milliseconds), 2)


def _journal(workspace: Workspace, runs: int) -> None:
    recorder = Recorder(workspace, segment_bytes=16 << 20)
    chance = random.Random(7)
    at = now_ms() - runs * 1000
    for number in range(runs):
        start = at + number * 1000
        uid = recorder.start(f"trial {number}", EXPERIMENT, start_ms=start)
        recorder.put(
            Params(uid, {"depth": number % 12, "rate": 10 ** -chance.uniform(1, 4), "loss": "log", "seed": number}),
            Metrics(uid, start + 10, 0, {"auc": chance.random(), "mae": chance.expovariate(1), "seconds": 0.5}),
            RunEnd(uid, start + 500, "FINISHED" if number % 10 else "FAILED"),
        )
    recorder.close()


if __name__ == "__main__" and sys.argv[1:2] == ["peer"]:
    print(json.dumps(_answer_as_peer(*sys.argv[2:])))
elif __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(search_speed(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, scratch)))
