"""An endpoint is killed while it answers: it is back as soon as a plain start takes, and each answer is in its log."""

from __future__ import annotations

import math
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable

import duckdb
import httpx
import numpy as np
import pandas as pd
from recorder import Recorder
from sklearn.linear_model import LinearRegression
from trials import Counts, new_workspace, until

from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace

COLUMNS = [f"c{i}" for i in range(8)]
RANDOM = np.random.default_rng(0)
X = pd.DataFrame(RANDOM.normal(size=(200, len(COLUMNS))), columns=COLUMNS)


def registered(workspace: Workspace, client: Client, name: str, *maes: float) -> None:
    """A registered model with a version for each value of the metric ``mae``."""
    from mlops_workbench.core.ids import now_ms
    from mlops_workbench.core.records import Metrics

    recorder = Recorder(workspace)
    for number, mae in enumerate(maes):
        uid = recorder.start(f"{name}-{number}")
        recorder.put(Metrics(uid, now_ms(), 0, {"mae": mae}))
        recorder.model(uid, LinearRegression().fit(X, X["c0"] + number), X)
        recorder.end(uid)
        client.register(name, RegisterRequest(uid))


def seconds_to_ready(client: Client, name: str, after: Callable[[], object], pid: int = 0) -> float:
    """Seconds from an action until an endpoint is ready with another process."""
    begun = time.perf_counter()
    after()

    def ready() -> bool:
        endpoint = client.endpoint(name)
        return endpoint.state == "ready" and endpoint.pid != pid

    until(ready, f"endpoint {name}")
    return time.perf_counter() - begun


class Clients:
    """Threads that send requests of several rows, and note what was answered."""

    def __init__(self, url: Callable[[], str], threads: int, rows: int) -> None:
        self._url = url
        self._stop = threading.Event()
        self.answered: dict[str, list[float]] = {}
        self.wrong = 0
        self._threads = [threading.Thread(target=self._send, args=(number, rows)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self, number: int, rows: int) -> None:
        sent = 0
        matrix = X.head(rows).to_numpy()
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [rows], "data": matrix[:, i].tolist()}
            for i, name in enumerate(COLUMNS)
        ]
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self._stop.is_set():
                identity = f"r-{number}-{sent}"
                sent += 1
                try:
                    answer = client.post(self._url(), json={"id": identity, "inputs": inputs})
                except httpx.HTTPError:
                    # It is down at the moment; whether this request was logged is not known, and not promised.
                    time.sleep(0.02)
                    continue
                if answer.status_code == 200:
                    self.answered[identity] = answer.json()["outputs"][0]["data"]
                elif answer.status_code not in (503, 404):
                    self.wrong += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def endpoints(kills: int, answered_rows: int, *, rows: int = 100, starts: int = 5, seed: int = 0) -> Counts:
    """Kill an endpoint again and again under load; `back_ratio_p95` is in per mille."""
    counts, chance = Counts(), random.Random(seed)
    with new_workspace() as workspace, Client.connect(workspace) as client:
        registered(workspace, client, "m", 1.0)
        client.deploy("warm", DeployRequest("m/1"), timeout=120)
        client.remove_endpoint("warm")
        until(lambda: not client.endpoints(), "the end of the first one")
        plain = []
        for number in range(starts):
            name = f"p{number}"
            plain.append(
                seconds_to_ready(client, name, lambda name=name: client.deploy(name, DeployRequest("m/1"), timeout=0))
            )
            if number:
                client.remove_endpoint(name)
        until(lambda: len(client.endpoints()) == 1, "the ends of the others")
        time.sleep(1)
        # Idle: the restart alone.
        back = []
        for _ in range(kills // 2):
            pid = client.endpoint("p0").pid
            back.append(seconds_to_ready(client, "p0", lambda pid=pid: os.kill(pid, signal.SIGKILL), pid))
            counts["kills_endpoint"] += 1
        # Under load: the log.
        url = client.endpoint("p0").url
        clients = Clients(lambda: f"{url}/v2/models/p0/infer", 4, rows)
        try:
            while counts["kills_endpoint"] < kills or len(clients.answered) * rows < answered_rows:
                time.sleep(chance.uniform(0.2, 1.5))
                endpoint = client.endpoint("p0")
                if endpoint.pid and endpoint.state == "ready" and counts["kills_endpoint"] < kills:
                    os.kill(endpoint.pid, signal.SIGKILL)
                    counts["kills_endpoint"] += 1
                    pid = endpoint.pid
                    until(lambda pid=pid: client.endpoint("p0").pid not in (0, pid), "the next process")
        finally:
            clients.stop()
        until(lambda: client.endpoint("p0").state == "ready", "the last process")
        counts["false"] += clients.wrong + (client.endpoint("p0").version != 1)
        client.remove_endpoint("p0")
        until(lambda: not client.endpoints(), "the end")
        time.sleep(3)
        counts += check_log(workspace, "p0", clients.answered)
    p95 = sorted(back)[math.ceil(len(back) * 0.95) - 1]
    counts["back_ratio_p95"] = round(1000 * p95 / statistics.median(plain))
    return counts


def check_log(workspace: Workspace, name: str, answered: dict[str, list[float]]) -> Counts:
    """Compare what was answered with the log: `rows_answered`, `log_lost_rows`, `duplicated` and `false`."""
    counts = Counts()
    pattern = str(workspace.predictions / f"endpoint={name}" / "date=*" / "*.parquet")
    query = "select request_id, row, prediction from read_parquet(?)"
    logged: dict[str, dict[int, float]] = {}
    for request, row, prediction in duckdb.execute(query, [pattern]).fetchall():
        found = logged.setdefault(request, {})
        counts["duplicated"] += row in found
        found[row] = prediction
    for request, values in answered.items():
        found = logged.get(request, {})
        counts["rows_answered"] += len(values)
        counts["log_lost_rows"] += len(set(range(len(values))) - found.keys())
        counts["false"] += sum(found[row] != values[row] for row in found)
    return counts
