"""A version loaded as an endpoint loads it, without serving it: ``python -m mlops_workbench.serving.dry_run FOLDER``.

The settings come as JSON on the standard input, the result goes as JSON to the standard output. It is a process of its
own, since loading a model may run its code.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import orjson

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.data.fitted.golden import TRAINING, GoldenRows, example_values
from mlops_workbench.serving.protocols.invocations import JSON, parse_invocation, predictions_body
from mlops_workbench.serving.rows.signature import Signature
from mlops_workbench.serving.runtimes.estimator import Runtime, limit_threads
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.proof import prove

#: Requests that are timed, and seconds that they may take in all.
_REQUESTS, _SECONDS = 300, 3.0
_WARM = 10


class DryRun(msgspec.Struct, frozen=True):
    """What a dry run found.

    Attributes
    ----------
    problem : str
        Why an endpoint would refuse the version; empty if it would serve it.
    rows : dict of str to int
        Compared rows of the golden set by their kind.
    requests : int
        Timed requests of one row; 0 without a row to ask about.
    p50_ms, p95_ms : float
        Their times in milliseconds, from the body of the request to that of the answer.
    """

    problem: str = ""
    rows: dict[str, int] = {}
    requests: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0


def dry_run(folder: Path, settings: ServingSettings) -> DryRun:
    """Load a version, compare its answers with its golden set, and time requests of one row."""
    try:
        found = ModelFolder.open(folder, settings)
        runtime = Runtime.load(found, settings)
        limit_threads()
        prove(runtime, found.golden, str(folder))
    except WorkbenchError as error:
        return DryRun(problem=error.message)
    rows = {one.kind: len(one.columns[0]) for one in found.golden}
    times = _times(runtime, _bodies(found.signature, found.golden) or ([found.example] if found.example else []))
    if not times:
        return DryRun(rows=rows)
    p50, p95 = np.percentile(times, [50, 95])
    return DryRun("", rows, len(times), float(p50) * 1000, float(p95) * 1000)


def _bodies(signature: Signature, golden: Sequence[GoldenRows]) -> list[bytes]:
    """Requests of one row of the training data each."""
    rows = next((one.columns for one in golden if one.kind == TRAINING), None)
    if rows is None or signature.inputs is None:
        return []
    names = [column.name for column in signature.columns]
    columns = example_values(signature.inputs.schema, rows, _REQUESTS)
    return [
        orjson.dumps({"dataframe_split": {"columns": names, "data": [list(row)]}}) for row in zip(*columns, strict=True)
    ]


def _times(runtime: Runtime, bodies: Sequence[bytes]) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    for number in range(_REQUESTS + _WARM if bodies else 0):
        begun = time.perf_counter()
        batch = parse_invocation(bodies[number % len(bodies)], JSON, runtime.signature).batch
        predictions_body(runtime.predict(batch, (runtime.default_output,)).outputs[runtime.default_output])
        if number >= _WARM:
            times.append(time.perf_counter() - begun)
        if begun > end:
            break
    return times


def main(arguments: list[str]) -> int:
    """Do a dry run of the folder that is named; 0 when there is a result."""
    logging.basicConfig(stream=sys.stderr)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ServingSettings)
    # What a model prints must not be in the result.
    output = os.dup(1)
    os.dup2(2, 1)
    result = msgspec.json.encode(dry_run(Path(arguments[0]), settings))
    with open(output, "wb") as file:
        file.write(result)
    return 0


if __name__ == "__main__":
    # For the user's own transformers, as in the process of an endpoint.
    sys.path.append(os.getcwd())  # noqa: PTH109
    sys.exit(main(sys.argv[1:]))
