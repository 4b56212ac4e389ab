"""Processes of an endpoint are killed while it answers and writes its log, which must then have every answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from typing import Any

import duckdb
import serving_models as models
from serving_client import Connection
from serving_places import Place, Server, place, takes, tree, wait_until

from mlops_workbench.deployments.endpoint_folder import EndpointFolder

_MODEL, _CLIENTS, _ROWS = "places", 8, 20
#: Much is converted and compacted, so that kills fall into both.
_SETTINGS = "[serving]\nlog_seconds = 0.5\nlog_rows = 2000\n"
_WORKERS = "workers = 4\n"


def kills(count: int) -> dict[str, Any]:
    """Answered rows that the log lacks, or has twice or changed, after this number of kills of random processes."""
    settings = _SETTINGS + (_WORKERS if takes(_SETTINGS + _WORKERS) else "")
    with place(settings) as where:
        where.register(_MODEL)
        server = where.deploy(_MODEL)
        answered: dict[str, list[float]] = {}
        stop = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(_clients(where, server, answered, stop)), name="clients")
        thread.start()
        killed: list[str] = []
        try:
            draws = random.Random(13)
            while len(killed) < count:
                time.sleep(draws.uniform(0.3, 1.5))
                if not thread.is_alive():
                    raise RuntimeError("the clients have ended")
                killed.append(_kill_one(where, draws))
                _wait_for_more(answered)
        finally:
            stop.set()
            thread.join()
        where.remove(_MODEL)
        found = _compare(where, answered)
        workers = 4 if _WORKERS in settings else 1
        return {
            **found,
            "log_kills": len(killed),
            "log_kills_of_workers": killed.count("worker"),
            "log_workers": workers,
            "runtimes": {"log_lost_rows": server.platform},
        }


async def _clients(where: Place, server: Server, answered: dict[str, list[float]], stop: threading.Event) -> None:
    case = models.CASES[_MODEL](1)

    async def client(number: int) -> None:
        connection = Connection(server.url)
        sent = 0
        while not stop.is_set():
            start = sent % (len(case.X) - _ROWS)
            identity = f"k-{number}-{sent}"
            sent += 1
            try:
                body = models.body(case.X.iloc[start : start + _ROWS])
                status, answer = await connection.post("/invocations", body, {"X-Request-Id": identity})
            except ConnectionError:
                # Whether a request without an answer is in the log is not promised.
                await asyncio.sleep(0.02)
                connection = Connection(_url(where) or server.url)
                continue
            if status == 200:
                answered[identity] = json.loads(answer)["predictions"]
            elif status != 503:
                raise RuntimeError(f"status {status}: {answer[:300]!r}")
        connection.close()

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))


def _url(where: Place) -> str:
    observed = EndpointFolder(where.workspace.endpoints / _MODEL).observed()
    return observed.url if observed is not None else ""


def _kill_one(where: Place, draws: random.Random) -> str:
    """Kill the endpoint's process, or one of its workers if it has some; give which."""
    wait_until(lambda: bool(_alive(where)), "a running endpoint")
    first, *workers = _alive(where)
    # Workers die more often than what supervises them.
    chosen = draws.choice(workers) if workers and draws.random() < 0.75 else first
    with contextlib.suppress(ProcessLookupError):
        os.kill(chosen, signal.SIGKILL)
    return "endpoint" if chosen == first else "worker"


def _wait_for_more(answered: dict[str, list[float]]) -> None:
    seen = len(answered)
    wait_until(lambda: len(answered) > seen + _CLIENTS, "answers after a kill")


def _alive(where: Place) -> list[int]:
    observed = EndpointFolder(where.workspace.endpoints / _MODEL).observed()
    if observed is None or not observed.process.alive():
        return []
    return [process.pid for process in tree(observed.process.pid)]


def _compare(where: Place, answered: dict[str, list[float]]) -> dict[str, int]:
    folder = where.workspace.predictions / f"endpoint={_MODEL}"

    def files() -> list[str]:
        return sorted(str(path) for path in folder.rglob("*.parquet") if not path.name.startswith("."))

    # What a killed process left is written by the next one, or by the control plane.
    wait_until(lambda: not any(folder.rglob("*.mlj")), "the end of the journal")
    query = "select request_id, row, prediction from read_parquet(?, union_by_name = true) where request_id like 'k-%'"
    logged: dict[str, dict[int, float]] = {}
    twice = 0
    for request, row, prediction in duckdb.execute(query, [files()]).fetchall():
        rows = logged.setdefault(request, {})
        twice += row in rows
        rows[row] = prediction
    lost = wrong = 0
    for request, values in answered.items():
        rows = logged.get(request, {})
        lost += sum(number not in rows for number in range(len(values)))
        wrong += sum(rows.get(number, value) != value for number, value in enumerate(values))
    return {
        "log_lost_rows": lost, "log_rows_twice": twice, "log_wrong_rows": wrong, "log_files": len(files()),
        "log_answered_rows": sum(map(len, answered.values())),
    }  # fmt: skip
