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
_HUNDREDS = frozenset(f"h{number}" for number in range(models.TRAINED // 100))


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
    X = models.CASES[name](1).X
    answers = np.asarray(fitted.predict(X))
    columns = {column: X[column].tolist() for column in X.columns}
    left = [rows]
    counts = {"asked": 0, "wrong": 0, "failed": 0, "refused": 0}

    async def client(number: int) -> None:
        draws = random.Random(number)
        connection = Connection(server.url)
        sent = 0
        while left[0] > 0:
            size = draws.choice(_SIZES)
            start = draws.randrange(len(X) - size)
            left[0] -= size
            sent += 1
            identity = f"m-{number}-{sent}"
            bad = draws.randrange(_BAD) == 0
            part = {column: values[start : start + size] for column, values in columns.items()}
            if bad:
                part[list(part)[-1]][-1] = "no number"
            tensors = draws.random() < 0.5
            body = _tensors(part, identity) if tensors else _split(part)
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
            counts["asked"] += size
            if len(found) != size or (tensors and content["id"] != identity):
                counts["wrong"] += size
            else:
                # Answers to neighbours differ by 1; the last bits may differ with the number of rows.
                counts["wrong"] += int((np.abs(np.asarray(found) - answers[start : start + size]) > 0.1).sum())
        connection.close()

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
    return counts


def _split(part: dict[str, list[Any]]) -> bytes:
    rows = list(zip(*part.values(), strict=True))
    return json.dumps({"dataframe_split": {"columns": list(part), "data": rows}}).encode()


def _tensors(part: dict[str, list[Any]], identity: str) -> bytes:
    inputs = [
        # All columns but the text are numbers, also one that has a wrong value.
        {"name": name, "datatype": "BYTES" if data[0] in _HUNDREDS else "FP64", "shape": [len(data)], "data": data}
        for name, data in part.items()
    ]
    return json.dumps({"id": identity, "inputs": inputs, "outputs": [{"name": "predict"}]}).encode()
