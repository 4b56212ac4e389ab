"""The same requests to an endpoint and to ``mlflow models serve`` of the same model, in turns."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import serving_models as models
from serving_peers import bentoml_server, has_bentoml, mlflow_server
from serving_places import Place, Server, place, takes
from serving_wrk import measure

#: Settings with which the estimator itself answers.
NATIVE = '[serving]\nruntime = "sklearn"\n'
_SECONDS, _WARM_SECONDS = 3.0, 1.0


@dataclass(frozen=True)
class Load:
    """A kind of requests: the suffix of its keys, rows per request, connections, and the figure that is compared."""

    suffix: str
    rows: int
    connections: int
    figure: str


ONE = Load("p50_c1", 1, 1, "p50_us")
MANY = Load("rps_c16", 1, 16, "rps")
HUNDRED = Load("rows100_p50", 100, 1, "p50_us")

#: Which loads each model is measured with, and what stands before the suffix.
LOADS: dict[str, dict[str, Load]] = {
    "forest": {"ratio_p50_c1": ONE, "ratio_rps_c16": MANY, "ratio_rows100_p50": HUNDRED},
    "linear": {"ratio_linear_p50": ONE, "ratio_linear_rps_c16": MANY},
    "mixed": {"ratio_mixed_p50": ONE, "ratio_mixed_rps_c16": MANY},
    "xgboost": {"ratio_xgboost_p50": ONE, "ratio_xgboost_rps_c16": MANY},
    "cols600": {"ratio_cols600_p50": ONE},
}


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Ratios of one model: how many times better than MLflow's server the endpoint is, by the median of the rounds.

    With the suffix ``_native``, the estimator itself answers; with ``_bentoml``, BentoML does. ``runtimes`` says what
    answered, and ``raw`` has what was measured in each round.
    """
    native = name == "forest"
    found: dict[str, Any] = {"runtimes": {}, "raw": {}}
    with contextlib.ExitStack() as stack:
        ours, where = _deployed(stack.enter_context(place()), name)
        running = {"": ours}
        if native and takes(NATIVE):
            running["_native"], _ = _deployed(stack.enter_context(place(NATIVE)), name)
            running["_native"].name = "native"
        running["_mlflow"] = stack.enter_context(mlflow_server(where.exported(name)))
        if has_bentoml():
            running["_bentoml"] = stack.enter_context(bentoml_server(where.exported(name)))
        case = models.CASES[name](1)
        for server in running.values():
            check_answers(server, models.fitted(where.root, name), case, name)
        for key, load in LOADS[name].items():
            raw = _rounds(list(running.values()), models.bodies(case.rows, load.rows), load, rounds)
            found["raw"][key] = raw
            for suffix in ("", "_native", "_bentoml") if native and load is not HUNDRED else ("", "_bentoml"):
                server = running.get(suffix)
                found[f"{key}{suffix}"] = _ratio(raw[server.name], raw["mlflow"], load) if server else None
                found["runtimes"][f"{key}{suffix}"] = server.platform if server else None
    return found


def check_answers(server: Server, fitted: Any, case: models.Case, name: str) -> None:
    """Compare the answers of a server to the rows of the benchmark with those of the fitted object.

    Raises
    ------
    RuntimeError
        They differ.
    """
    expected = np.asarray(fitted.predict(case.rows))
    kind = {"Content-Type": "application/json"}
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        for size, most in ((1, 64), (100, 5)):
            for start in range(0, most * size, size):
                rows = case.rows.iloc[start : start + size]
                answer = client.post("/invocations", content=models.body(rows), headers=kind)
                if answer.status_code != 200:
                    raise RuntimeError(f"{name}, {server.name}: status {answer.status_code}: {answer.text[:500]}")
                if not np.array_equal(json.loads(answer.content)["predictions"], expected[start : start + size]):
                    raise RuntimeError(f"{name}, {server.name}: rows {start} to {start + size} have other answers")


def _deployed(where: Place, name: str) -> tuple[Server, Place]:
    where.register(name)
    server = where.deploy(name)
    where.pin_control()
    return server, where


def _rounds(
    servers: Sequence[Server], bodies: Sequence[bytes], load: Load, rounds: int
) -> dict[str, list[dict[str, float]]]:
    raw: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for server in servers:
        server.pin()
        measure(server.url, bodies, load.connections, _WARM_SECONDS)
    for number in range(rounds):
        # Each goes first as often as it goes last.
        for server in servers if number % 2 == 0 else list(reversed(servers)):
            server.pin()
            before = server.cpu_seconds()
            found = measure(server.url, bodies, load.connections, _SECONDS)
            # What other programs on the machine hardly change.
            found["cpu_us"] = round((server.cpu_seconds() - before) / found["requests"] * 1e6)
            raw[server.name].append(found)
    return raw


def _ratio(ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]], load: Load) -> float:
    pairs = [(mine[load.figure], other[load.figure]) for mine, other in zip(ours, theirs, strict=True)]
    more_is_better = load.figure == "rps"
    return round(statistics.median(m / o if more_is_better else o / m for m, o in pairs), 2)
