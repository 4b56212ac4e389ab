"""Answers the rows of a part; in a worker, which has the model from the process that forked it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.errors import InvalidRequest, PredictionFailed
from mlops_workbench.serving.log.answers import Answered
from mlops_workbench.serving.log.predictions import PredictionLog
from mlops_workbench.serving.log.protection import Protection, read_key
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import Prediction, Runtime
from mlops_workbench.serving.scoring.answers import AnswerColumns
from mlops_workbench.serving.scoring.parts import InputFile, Part
from mlops_workbench.serving.scoring.request import ScoringRequest
from mlops_workbench.serving.scoring.rows import PartRows, rows_of_part
from mlops_workbench.serving.service import event_micros

PROTOCOL = "batch"
#: Refused rows of a part whose reasons are kept.
_EXAMPLES = 5
#: Where an error of a single row says that it is the first of its request.
_FIRST_ROW = re.compile(r"^CSV row 0: |, row 0(?=[:,])")

Piece = tuple[int, int, Mapping[str, Array]]


@dataclass(frozen=True)
class PartAnswers:
    """Answers to a part.

    Attributes
    ----------
    rows, refused : int
        Rows of the part, and those without an answer; if one refused row ends the work, only that one counts.
    table : bytes
        Its columns as a stream of Arrow; empty if the work ends.
    examples : list of (int, str)
        The first refused rows, as numbers within the part, and why.
    file : str
        Name of the file that has the table on its way between processes.
    """

    rows: int
    refused: int
    table: bytes
    examples: list[tuple[int, str]] = field(default_factory=list)
    file: str = ""


class Scorer:
    """Answers parts.

    Parameters
    ----------
    runtime : Runtime
        The loaded and proven model.
    digest : str
        Identity of its files.
    request : ScoringRequest
        What is asked for.
    files : sequence of InputFile
        The inputs.
    columns : AnswerColumns
        Columns of the answers.
    """

    def __init__(
        self,
        runtime: Runtime,
        digest: str,
        request: ScoringRequest,
        files: Sequence[InputFile],
        columns: AnswerColumns,
    ) -> None:
        self._runtime = runtime
        self._digest = digest
        self._request = request
        self._files = files
        self._columns = columns
        self._keep = request.keep
        self._event_us = event_micros(request.event_time) if request.event_time else None
        self._opened: tuple[int, Any] | None = None
        self._log: PredictionLog | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of the model."""
        return self._runtime.signature.names

    @property
    def schema(self) -> pa.Schema:
        """Columns of the answers to a part."""
        kept = self._files[0].kept
        fields: list[tuple[str, Any]] = [(name, kept[name]) for name in self._keep]
        if self._request.log is not None:
            fields += [("request_id", pa.string()), ("request_row", pa.int32())]
        fields += self._columns.fields
        return pa.schema([*fields, ("error", pa.string())] if self._request.on_error == "null" else fields)

    def score(self, part: Part) -> PartAnswers:
        """Answer the rows of a part."""
        rows = rows_of_part(part, self._files[part.file], self._file(part), self._runtime.signature)
        pieces: list[Piece] = []
        refused: list[tuple[int, str]] = []
        logged: list[tuple[int, int, str]] = []
        for first, last, found in self._pieces(rows, 0, rows.count):
            if isinstance(found, str):
                refused.append((first, found))
                if self._request.on_error == "fail":
                    return PartAnswers(rows.count, 1, b"", refused)
                continue
            batch, prediction, begun = found
            pieces.append((first, last, prediction.outputs))
            if self._request.log is not None:
                logged.append((first, last, self._logged(batch, prediction, begun)))
        table = self._table(rows, pieces, refused, logged)
        return PartAnswers(rows.count, len(refused), table, refused[:_EXAMPLES])

    def close(self) -> int:
        """Close the log, and return the number of rows that it could not take."""
        log, self._log = self._log, None
        if log is None:
            return 0
        log.close()
        return log.dropped

    def _pieces(
        self, rows: PartRows, first: int, last: int
    ) -> Iterator[tuple[int, int, tuple[Batch, Prediction, float] | str]]:
        """Ranges with their answers in order; a row that cannot be answered is alone, with the reason."""
        begun = time.perf_counter()
        try:
            batch = rows.batch(first, last)
            answer = self._runtime.predict(batch, self._columns.outputs)
        except (InvalidRequest, PredictionFailed) as error:
            if last - first == 1:
                yield first, last, _FIRST_ROW.sub("", error.message, count=1)
                return
        else:
            yield first, last, (batch, answer, begun)
            return
        middle = (first + last) // 2
        yield from self._pieces(rows, first, middle)
        yield from self._pieces(rows, middle, last)

    def _table(
        self,
        rows: PartRows,
        pieces: Sequence[Piece],
        refused: Sequence[tuple[int, str]],
        logged: Sequence[tuple[int, int, str]],
    ) -> bytes:
        arrays = [rows.kept(name) for name in self._keep]
        if self._request.log is not None:
            ids: list[str | None] = [None] * rows.count
            numbers: list[int | None] = [None] * rows.count
            for first, last, request in logged:
                ids[first:last] = [request] * (last - first)
                numbers[first:last] = range(last - first)
            arrays += [pa.array(ids, pa.string()), pa.array(numbers, pa.int32())]
        arrays += self._columns.arrays(pieces, rows.count)
        if self._request.on_error == "null":
            reasons = dict(refused)
            errors = [reasons.get(row) for row in range(rows.count)] if reasons else None
            arrays.append(pa.nulls(rows.count, pa.string()) if errors is None else pa.array(errors, pa.string()))
        table = pa.table(arrays, names=self.schema.names)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    def _logged(self, batch: Batch, prediction: Prediction, begun: float) -> str:
        """Log answers, and return the id of their request."""
        request, wanted = new_id(), self._request.log
        assert wanted is not None
        if self._log is None:
            settings = self._request.settings
            hashes = wanted.personal and wanted.personal_in_log == "hash"
            key = read_key(Path(wanted.key_file)) if hashes else b""
            protection = Protection(wanted.personal, wanted.personal_in_log, key)
            self._log = PredictionLog(
                Path(wanted.folder), seconds=settings.log_seconds, rows=settings.log_rows, protection=protection
            )
        now_us, took = time.time_ns() // 1000, int((time.perf_counter() - begun) * 1e6)
        self._log.append(
            Answered(
                request_id=request,
                answered_us=now_us,
                event_us=now_us if self._event_us is None else self._event_us,
                model=self._request.model,
                version=self._request.version,
                digest=self._digest,
                arm="champion",
                protocol=PROTOCOL,
                status=200,
                total_us=took,
                predict_us=took,
                batch=batch,
                prediction=prediction,
            )
        )
        return request

    def _file(self, part: Part) -> Any:
        if not part.groups:
            return None
        if self._opened is None or self._opened[0] != part.file:
            if self._opened is not None:
                self._opened[1].close()
            self._opened = part.file, self._files[part.file].open()
        return self._opened[1]
