"""The work of the process that scores files: load, compare with the golden set, answer, write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.serving.errors import InvalidModel, InvalidRequest
from mlops_workbench.serving.log.predictions import recover
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.invocations import parse_invocation
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import Runtime, limit_threads, limit_warnings
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.proof import prove
from mlops_workbench.serving.scoring.answers import AnswerColumns
from mlops_workbench.serving.scoring.output import output_file
from mlops_workbench.serving.scoring.parts import CSV, PARQUET, InputFile, input_file, parts
from mlops_workbench.serving.scoring.request import Refused, Scored, ScoringProgress, ScoringRequest
from mlops_workbench.serving.scoring.scorer import Scorer
from mlops_workbench.serving.scoring.workers import Workers

_EXAMPLES = 5
_PROGRESS_SECONDS = 0.5


def score_files(request: ScoringRequest, report: Callable[[ScoringProgress], None]) -> Scored:
    """Answer the rows of files.

    Parameters
    ----------
    request : ScoringRequest
        What is asked for.
    report : callable
        Called about twice a second.

    Raises
    ------
    InvalidModel
        An endpoint would refuse the version.
    InvalidInput
        A file does not fit the model, or a row has no answer and that ends the work.
    StorageError
        The output cannot be written.
    """
    found = ModelFolder.open(Path(request.folder), request.settings)
    if request.digest not in ("", found.digest):
        raise InvalidModel("the files of the model have changed", where=request.folder, hint="register it again")
    files = [input_file(Path(name), found.signature, request.keep) for name in request.inputs]
    output = Path(request.output)
    if output.suffix.lower() not in (PARQUET, CSV):
        raise InvalidInput(f"'{output.name}' is no name of a table", hint="name the output .parquet or .csv")
    # This process is the trial of a model whose file may end it.
    runtime = Runtime.load(found, request.settings, tried=True)
    limit_threads()
    limit_warnings()
    prove(runtime, found.golden, request.settings.runtime, request.folder)
    classes = [] if runtime.classes is None else runtime.classes.tolist()
    columns = AnswerColumns(_sample(runtime, found), classes, is_flat=output.suffix.lower() == CSV)
    scorer = Scorer(runtime, found.digest, request, files, columns)
    workers = Workers(scorer, request.workers or len(os.sched_getaffinity(0)))
    begun = time.perf_counter()
    rows, refused, examples = _write(request, files, scorer, columns, workers, report)
    if request.log is not None:
        # What a worker that was ended has left.
        recover(Path(request.log.folder), request.settings.log_rows)
    return Scored(
        rows=rows,
        refused=refused,
        examples=examples,
        version=request.version,
        runtime=runtime.platform,
        uncompiled=runtime.uncompiled,
        workers=workers.count,
        seconds=time.perf_counter() - begun,
        is_row_wise=runtime.is_row_wise,
        dropped=workers.dropped,
    )


def _write(
    request: ScoringRequest,
    files: Sequence[InputFile],
    scorer: Scorer,
    columns: AnswerColumns,
    workers: Workers,
    report: Callable[[ScoringProgress], None],
) -> tuple[int, int, list[Refused]]:
    several = len(files) > 1
    place = [("file", pa.string())] if several else []
    schema = pa.schema([*place, ("row", pa.int64()), *scorer.schema])
    rows = [0] * len(files)
    refused, next_report = 0, 0.0
    examples: list[Refused] = []
    with output_file(Path(request.output), schema, columns.metadata) as output, workers.running():
        for part, found in workers.answers(parts(files, len(scorer.inputs))):
            name, first = str(files[part.file].path), rows[part.file]
            examples += [Refused(name, first + row, why) for row, why in found.examples][: _EXAMPLES - len(examples)]
            if found.refused and request.on_error == "fail":
                bad = examples[0]
                raise InvalidInput(
                    bad.reason,
                    where=f"{bad.file}, row {bad.row} (the first is 0)",
                    hint="mend the row, or give such rows no answer: --on-error null",
                )
            refused += found.refused
            rows[part.file] += found.rows
            with pa.ipc.open_stream(found.table) as stream:
                table = stream.read_all()
            numbers = pa.array(np.arange(first, first + found.rows))
            parts_of_row = [pa.repeat(name, found.rows)] if several else []
            output.write(_fitting([*parts_of_row, numbers, *table.columns], schema, name))
            if time.monotonic() > next_report:
                report(ScoringProgress(part.done, sum(rows)))
                next_report = time.monotonic() + _PROGRESS_SECONDS
        if refused and refused == sum(rows):
            raise InvalidInput(
                f"no row has an answer; of row {examples[0].row}: {examples[0].reason}", where=examples[0].file
            )
    return sum(rows), refused, examples


def _fitting(columns: Sequence[pa.Array], schema: pa.Schema, file: str) -> pa.Table:
    arrays = []
    for column, wanted in zip(columns, schema, strict=True):
        try:
            arrays.append(column if column.type == wanted.type else column.cast(wanted.type))
        except pa.ArrowException as error:
            raise InvalidInput(
                f"column '{wanted.name}' is of type {column.type} here and {wanted.type} in the first file",
                where=file,
                hint="keep columns that have the same type in all files",
            ) from error
    return pa.table(arrays, schema=schema)


def _sample(runtime: Runtime, found: ModelFolder) -> dict[str, Array]:
    """Answers that show the types and the number of columns."""
    batch = None
    if found.golden:
        values = {
            column.name: part[:2] for column, part in zip(found.signature.columns, found.golden[0].columns, strict=True)
        }
        batch = Batch(found.signature, len(next(iter(values.values()))), values)
    elif found.example:
        try:
            batch = parse_invocation(found.example, JSON, found.signature).batch
        except InvalidRequest:
            # Its own example need not fit.
            batch = None
    try:
        if batch is not None:
            return dict(runtime.predict(batch, runtime.outputs).outputs)
    except WorkbenchError:
        pass
    return {name: runtime.sample[name] for name in runtime.outputs}
