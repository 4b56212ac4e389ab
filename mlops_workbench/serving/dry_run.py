"""A version loaded as an endpoint loads it, without serving it: ``python -m mlops_workbench.serving.dry_run``.

The request comes as JSON on the standard input, the result goes as JSON to the standard output. It is a process of its
own, since loading a model may run its code.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.model_schema import EVALUATION_FILE, SCHEMA_FILE, TESTS_FILE, decode_schema
from mlops_workbench.data.fitted.answers import answer_columns
from mlops_workbench.data.fitted.evaluation import EvaluationRows, for_columns, read_evaluation
from mlops_workbench.data.fitted.golden import TRAINING, GoldenRows, example_values
from mlops_workbench.serving.model_tests import TestResult, run_tests
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.invocations import parse_invocation, predictions_body
from mlops_workbench.serving.replay import replay
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import Signature
from mlops_workbench.serving.runtimes.estimator import Runtime, limit_threads, limit_warnings
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.proof import prove
from mlops_workbench.serving.runtimes.trial import DryRun, DryRunRequest

#: Requests that are timed, and seconds that they may take in all.
_REQUESTS, _SECONDS = 300, 3.0
_WARM = 10


def dry_run(request: DryRunRequest) -> DryRun:
    """Load a version, compare its answers with its golden set, time requests, and answer test rows of another model."""
    folder = Path(request.folder)
    try:
        found = ModelFolder.open(folder, request.settings)
        if request.digest not in ("", found.digest):
            return DryRun("the files of the model have changed", crashed=True)
        # This process is the trial of a model whose file may end it.
        runtime = Runtime.load(found, request.settings, tried=True)
        limit_threads()
        limit_warnings()
        prove(runtime, found.golden, request.settings.runtime, str(folder))
    except WorkbenchError as error:
        return DryRun(problem=error.message)
    rows = {one.kind: len(one.columns[0]) for one in found.golden}
    result = DryRun(rows=rows, runtime=runtime.platform, uncompiled=runtime.uncompiled)
    if request.tested:
        result = msgspec.structs.replace(
            result, unanswered=_answer(runtime, Path(request.tested), Path(request.answers))
        )
    if request.replayed:
        logged = parquet.read_table(request.replayed)
        found_again = replay(runtime, logged, request.personal, request.replay_seconds)
        return msgspec.structs.replace(result, replay=found_again)
    if request.has_tests:
        result = msgspec.structs.replace(result, tests=_tested(runtime, found, folder))
    bodies = _bodies(found.signature, found.golden) or ([found.example] if found.example else [])
    try:
        times = _times(runtime, bodies) if request.is_timed else []
    except WorkbenchError as error:
        # An endpoint serves it nevertheless: its own example may not fit.
        return msgspec.structs.replace(result, untimed=error.message)
    if not times:
        return result
    p50, p95 = (float(value) * 1000 for value in np.percentile(times, [50, 95]))
    return msgspec.structs.replace(result, requests=len(times), p50_ms=p50, p95_ms=p95)


def _tested(runtime: Runtime, found: ModelFolder, folder: Path) -> list[TestResult]:
    """Run the tests of a version on the rows that it was tested on; without them, on rows of its golden set."""
    manifest = read_manifest(folder)
    if TESTS_FILE not in manifest.files:
        return []
    source = manifest.read(folder, TESTS_FILE).decode()
    inputs, X, y = found.signature.inputs, None, None
    if inputs is not None:
        try:
            rows = tested_rows(folder)
            X, y = inputs.restore(list(rows.columns.values())), pd.Series(rows.truth.to_pylist())
        except ValueError:
            golden = next((one.columns for one in found.golden if one.kind == TRAINING), None)
            X = inputs.restore(golden) if golden is not None else None
    return run_tests(source, {"model": runtime.estimator, "X": X, "y": y})


def _answer(runtime: Runtime, tested: Path, file: Path) -> str:
    """Write the answers to the test rows of another model to a file; why that is not possible, else empty."""
    try:
        rows = tested_rows(tested)
        wanted = [(column.name, column.type, column.dtype) for column in runtime.signature.columns]
        batch = Batch.of_columns(runtime.signature, for_columns(rows, wanted))
        answers = answer_columns(runtime.predict(batch, runtime.outputs).outputs)
    except (ValueError, WorkbenchError) as error:
        return error.message if isinstance(error, WorkbenchError) else str(error)
    parquet.write_table(pa.table(answers), file)
    return ""


def tested_rows(folder: Path) -> EvaluationRows:
    """Return the rows that the model in a folder was tested on.

    Raises
    ------
    ValueError
        They are damaged, or there are none.
    StorageError
        A file differs from the manifest.
    """
    manifest = read_manifest(folder)
    if EVALUATION_FILE not in manifest.files:
        raise ValueError("the rows that it was tested on are not kept")
    schema = decode_schema(manifest.read(folder, SCHEMA_FILE))
    return read_evaluation(manifest.read(folder, EVALUATION_FILE), schema)


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


def main() -> NoReturn:
    """Do the dry run that is asked for, and end the process."""
    logging.basicConfig(stream=sys.stderr)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=DryRunRequest)
    # Last, so that no module of the user shadows an installed one.
    sys.path += [entry for entry in request.modules if entry not in sys.path]
    # What a model prints must not be in the result.
    output = os.dup(1)
    os.dup2(2, 1)
    result = msgspec.json.encode(dry_run(request))
    with open(output, "wb") as file:
        file.write(result)
    # The result is written. Threads of libraries can abort a process that frees its modules, and a model that did
    # nothing wrong would be refused for it.
    os._exit(0)


if __name__ == "__main__":
    # For the user's own transformers, as in the process of an endpoint.
    sys.path.append(os.getcwd())  # noqa: PTH109
    main()
