"""Switches and returns of an endpoint under load: no request fails, and answers are of the version that they name."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import serving_models as models
from pipelines_commands import command
from serving_client import Connection
from serving_places import Place, Server, offers, place

_CLIENTS = 16
#: Switches to new versions, and returns; each return is from a version that was not left before.
_SWITCHES, _RETURNS = 4, 3
_SETTLE_SECONDS = 1.0
_MODEL = "places"


@dataclass
class _Watch:
    """What clients that never stop have seen."""

    server: Server
    fitted: dict[str, Any]
    requests: int = 0
    failed: int = 0
    #: Time of the last answer of each version.
    last: dict[str, float] = field(default_factory=dict)
    #: Time of the first answer of each version since it was asked for.
    first: dict[str, float] = field(default_factory=dict)
    stopped: bool = False

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(_CLIENTS)))

    async def _client(self, number: int) -> None:
        connection = Connection(self.server.url)
        row = models.CASES[_MODEL](1).X.iloc[number : number + 1]
        inputs = [{"name": c, "datatype": "FP64", "shape": [1], "data": row[c].tolist()} for c in row.columns]
        body = json.dumps({"inputs": inputs, "outputs": [{"name": "predict"}]}).encode()
        expected = {version: float(fitted.predict(row)[0]) for version, fitted in self.fitted.items()}
        while not self.stopped:
            self.requests += 1
            try:
                status, answer = await connection.post(f"/v2/models/{_MODEL}/infer", body)
                content = json.loads(answer) if status == 200 else {}
            except ConnectionError:
                content = {}
            version = content.get("model_version", "")
            if not version or not np.isclose(content["outputs"][0]["data"][0], expected[version], atol=0.1, rtol=0):
                self.failed += 1
                continue
            now = time.perf_counter()
            self.last[version] = now
            self.first.setdefault(version, now)
        connection.close()


def releases() -> dict[str, Any]:
    """Requests that failed during switches and during returns, and milliseconds of a return.

    ``rollback_ms`` is from the start of the command to the last answer of the version that is left,
    ``rollback_command_ms`` to the command's end.
    """
    versions = 1 + _SWITCHES + _RETURNS
    with place() as where:
        where.register(_MODEL, versions)
        server = where.deploy(_MODEL)
        server.pin()
        fitted = {str(number): models.fitted(where.root, _MODEL, number) for number in range(1, versions + 1)}
        watch = _Watch(server, fitted)
        thread = threading.Thread(target=watch.run, name="clients")
        thread.start()
        try:
            found = _changes(where, watch)
        finally:
            watch.stopped = True
            thread.join()
        return {
            **found,
            "runtimes": dict.fromkeys(("swap_failed_requests", "rollback_failed_requests"), server.platform),
        }


def _changes(where: Place, watch: _Watch) -> dict[str, Any]:
    words = ["--reason", "measured"] if offers("--reason", "rollback") else []
    time.sleep(_SETTLE_SECONDS)
    for version in range(2, 2 + _SWITCHES):
        _deploy(where, watch, version)
    last_good = 1 + _SWITCHES
    effective, whole = [], []
    failed = requests = 0
    for version in range(2 + _SWITCHES, 2 + _SWITCHES + _RETURNS):
        _deploy(where, watch, version)
        before = watch.failed, watch.requests
        begun = time.perf_counter()
        seconds, _ = command(where.root, "mlops", "rollback", _MODEL, *words)
        time.sleep(_SETTLE_SECONDS)
        if watch.last[str(version)] > time.perf_counter() - _SETTLE_SECONDS / 2:
            raise RuntimeError(f"version {version} answers after the return from it")
        if watch.last[str(last_good)] < begun:
            raise RuntimeError(f"version {last_good} does not answer after the return to it")
        effective.append((watch.last[str(version)] - begun) * 1000)
        whole.append(seconds * 1000)
        failed, requests = failed + watch.failed - before[0], requests + watch.requests - before[1]
    return {
        "swap_failed_requests": watch.failed - failed,
        "swap_requests": watch.requests - requests,
        "swaps": _SWITCHES + _RETURNS,
        "rollback_failed_requests": failed,
        "rollback_requests": requests,
        "rollback_ms": round(statistics.median(effective)),
        "rollback_command_ms": round(statistics.median(whole)),
    }


def _deploy(where: Place, watch: _Watch, version: int) -> None:
    watch.first.pop(str(version), None)
    command(where.root, "mlops", "deploy", f"{_MODEL}/{version}")
    time.sleep(_SETTLE_SECONDS)
    if str(version) not in watch.first:
        raise RuntimeError(f"version {version} does not answer after its deployment")
