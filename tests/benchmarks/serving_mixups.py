"""Many clients at once, each of which checks that the answers are those to its own rows."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import numpy as np
import serving_models as models
from serving_client import Connection
from serving_places import Server, place

_CLIENTS = 64
#: Rows of a request: single rows most of all, which a server may answer together.
_SIZES = (1, 1, 1, 1, 1, 1, 2, 3, 17, 60, 120, 400)
#: One request in so many has a value of a wrong type, and must be refused alone.
_BAD = 40


def mixups(rows: int) -> dict[str, Any]:
    """Count rows that were answered with another row's answer, among this number of rows in all."""
    wrong = failed = asked = refused = 0
    with place() as where:
        runtimes = {}
        for name in ("places", "named_places"):
            where.register(name)
            server = where.deploy(name)
            server.pin()
            runtimes[name] = server.platform
            found = asyncio.run(_ask(server, name, models.fitted(where.root, name), rows // 2))
            wrong, failed = wrong + found["wrong"], failed + found["failed"]
            asked, refused = asked + found["asked"], refused + found["refused"]
    return {
        "batch_mixups": wrong, "batch_rows": asked, "batch_failed_requests": failed, "batch_refused_alone": refused,
        "runtimes": {"batch_mixups": ", ".join(sorted(set(runtimes.values())))},
    }  # fmt: skip


async def _ask(server: Server, name: str, fitted: Any, rows: int) -> dict[str, int]:
    case = models.CASES[name](1)
    answers = np.asarray(fitted.predict(case.X))
    left = [rows]
    counts = {"asked": 0, "wrong": 0, "failed": 0, "refused": 0}

    async def client(number: int) -> None:
        draws = random.Random(number)
        connection = Connection(server.url)
        while left[0] > 0:
            size = draws.choice(_SIZES)
            start = draws.randrange(len(case.X) - size)
            left[0] -= size
            bad = draws.randrange(_BAD) == 0
            tensors = draws.random() < 0.5
            body = _tensors(case.X[start : start + size], bad) if tensors else _split(case.X[start : start + size], bad)
            path = f"/v2/models/{name}/infer" if tensors else "/invocations"
            status, answer = await connection.post(path, body)
            if bad:
                # A bad value that is answered is as wrong as a good one that is not.
                counts["refused" if status == 400 else "failed"] += 1
                continue
            if status != 200:
                counts["failed"] += 1
                continue
            content = json.loads(answer)
            found = content["outputs"][0]["data"] if tensors else content["predictions"]
            expected = answers[start : start + size]
            counts["asked"] += size
            # Answers to neighbours differ by 1; the last bits may differ with the number of rows.
            counts["wrong"] += int((np.abs(np.asarray(found) - expected) > 0.1).sum()) if len(found) == size else size
        connection.close()

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
    return counts


def _split(rows: Any, bad: bool) -> bytes:
    values = rows.to_numpy(dtype=object).tolist()
    if bad:
        values[-1][-1] = "no number"
    return json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": values}}).encode()


def _tensors(rows: Any, bad: bool) -> bytes:
    inputs = []
    for column in rows.columns:
        data = rows[column].tolist()
        kind = "BYTES" if isinstance(data[0], str) else "FP64"
        if bad and kind == "FP64":
            data[-1] = "no number"
        inputs.append({"name": column, "datatype": kind, "shape": [len(data)], "data": data})
    return json.dumps({"inputs": inputs, "outputs": [{"name": "predict"}]}).encode()
