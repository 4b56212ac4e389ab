"""True outcomes sent by clients, stored on disk before the request is answered."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mlops_workbench.core.errors import StorageError, did_you_mean
from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.log.segments import TIMESTAMP, write_parquet
from mlops_workbench.serving.rows.values import parse_time

log = logging.getLogger("mlops_workbench.serving")

#: Names of the fields of an outcome.
FIELDS = ("request_id", "row", "label", "observed_at")
_LARGEST_ROW = 2**31 - 1
_LABELS: dict[str, tuple[frozenset[type], str]] = {
    "text": (frozenset({str}), "a text"),
    "number": (frozenset({int, float}), "a number"),
    "boolean": (frozenset({bool}), "true or false"),
}


@dataclass(frozen=True)
class Outcomes:
    """True labels of predicted rows, as parallel lists.

    Attributes
    ----------
    request_ids : list of str
        Requests that predicted the rows.
    rows : list of int
        Numbers of the rows within their requests.
    labels : list of float or list of str
        True labels.
    observed : list of datetime
        When the labels became known, naive UTC.
    events : list of int, optional
        Event times of the rows in microseconds since the epoch, by which readers find the outcomes of a window.
    """

    request_ids: list[str]
    rows: list[int]
    labels: list[float] | list[str]
    observed: list[datetime]
    events: list[int] | None = None

    @property
    def text(self) -> bool:
        """Whether the labels are text."""
        return isinstance(self.labels[0], str)


LabelKind = Literal["text", "number", "boolean"]


def parse_feedback(body: Mapping[str, Any], *, labels_are: LabelKind) -> Outcomes:
    """Parse one outcome, or several as parallel arrays.

    ``{"request_id": ..., "row"?: 0, "label": ..., "observed_at"?: ISO 8601}``; with an array of labels, the other
    fields may be arrays of the same length, or one value for all. Without ``row``, the labels of one request belong
    to its rows in order.

    Parameters
    ----------
    body : mapping
        The JSON object.
    labels_are : str
        What the model predicts: ``text``, ``number`` or ``boolean`` (stored as 0 and 1, as in the prediction log).

    Raises
    ------
    InvalidRequest
        The message has the field, the position, the expected and the given value.
    """
    for name in body:
        if name not in FIELDS:
            raise InvalidRequest(f"unknown field '{name[:60]}'; {did_you_mean(name[:60], FIELDS)}")
    for name in ("request_id", "label"):
        if name not in body:
            raise InvalidRequest(f"field '{name}' is missing")
    given = body["label"]
    labels = given if isinstance(given, list) else [given]
    if not labels:
        raise InvalidRequest("label must not be an empty array")
    size = len(labels)
    one_request = not isinstance(body["request_id"], list)
    rows: list[Any] = list(range(size)) if one_request and isinstance(given, list) else [0] * size
    if body.get("row") is not None:
        rows = _spread("row", body["row"], size)
    for at, row in enumerate(rows):
        if type(row) is not int or not 0 <= row <= _LARGEST_ROW:
            raise InvalidRequest(f"row, position {at}: expected a row number, got {str(row)[:60]!r}")
    requests = _spread("request_id", body["request_id"], size)
    for at, request in enumerate(requests):
        if not isinstance(request, str) or not 0 < len(request) <= 512:
            raise InvalidRequest(f"request_id, position {at}: expected a text of 1 to 512 characters")
    return Outcomes(requests, rows, _labels(labels, labels_are), _observed(body.get("observed_at"), size))


class FeedbackLog:
    """Writes outcomes in a thread; outcomes that arrive while a file is written go to the next one together.

    Parameters
    ----------
    folder : Path
        ``feedback/endpoint=<name>``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: queue.SimpleQueue[tuple[Outcomes, Future[None]] | None] = queue.SimpleQueue()
        self.written = 0
        self._thread = threading.Thread(target=self._run, name="feedback log", daemon=True)
        self._thread.start()

    def submit(self, outcomes: Outcomes) -> Future[None]:
        """Queue outcomes; the future is done when they are on disk, or fails with a `StorageError`."""
        done: Future[None] = Future()
        self._waiting.put((outcomes, done))
        return done

    def close(self) -> None:
        """Write the queued outcomes, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            taken = [self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get())
            closing = None in taken
            for text in (False, True):
                self._write([entry for entry in taken if entry is not None and entry[0].text is text])

    def _write(self, waiting: Sequence[tuple[Outcomes, Future[None]]]) -> None:
        # A cancelled future cannot be set.
        entries = [entry for entry in waiting if entry[1].set_running_or_notify_cancel()]
        if not entries:
            return
        try:
            now = datetime.now(UTC)
            table = feedback_table([outcomes for outcomes, _ in entries], now)
            write_parquet(self._folder / f"date={now:%Y-%m-%d}" / f"{new_id()}.parquet", table)
        except Exception as error:
            # Any error is returned to the waiting requests, and must not end the thread.
            log.exception("feedback cannot be stored")
            problem = StorageError(
                f"the feedback cannot be stored: {error}", where=str(self._folder), hint="send it again later"
            )
            for _, done in entries:
                done.set_exception(problem)
            return
        self.written += table.num_rows
        for _, done in entries:
            done.set_result(None)


def feedback_table(parts: Sequence[Outcomes], received: datetime) -> pa.Table:
    """Columns request_id, row, label (double or string), observed_at, received_at, event_time (null if unknown)."""
    events: list[int | None] = []
    for part in parts:
        events += part.events or [None] * len(part.rows)
    labels = [label for part in parts for label in part.labels]
    observed = [moment.replace(tzinfo=UTC) for part in parts for moment in part.observed]
    return pa.table(
        {
            "request_id": pa.array([one for part in parts for one in part.request_ids], pa.string()),
            "row": pa.array([row for part in parts for row in part.rows], pa.int32()),
            "label": pa.array(labels, pa.string() if parts[0].text else pa.float64()),
            "observed_at": pa.array(observed, TIMESTAMP),
            "received_at": pa.array([received] * len(labels), TIMESTAMP),
            "event_time": pa.array(events, pa.int64()).cast(TIMESTAMP),
        }
    )


def _spread(name: str, value: Any, size: int) -> list[Any]:
    if not isinstance(value, list):
        return [value] * size
    if len(value) != size:
        raise InvalidRequest(f"{name} has {len(value)} values, but label has {size}")
    return value


def _labels(values: list[Any], kind: LabelKind) -> list[float] | list[str]:
    allowed, expected = _LABELS[kind]
    for at, value in enumerate(values):
        if type(value) not in allowed:
            raise InvalidRequest(f"label, position {at}: expected {expected}, got {str(value)[:60]!r}")
    try:
        return list(values) if kind == "text" else [float(value) for value in values]
    except OverflowError:
        raise InvalidRequest("label: a number is too large") from None


def _observed(value: Any, size: int) -> list[datetime]:
    if value is None:
        return [datetime.now(UTC).replace(tzinfo=None)] * size
    moments = []
    for at, text in enumerate(_spread("observed_at", value, size)):
        try:
            moments.append(parse_time(text))
        except (ValueError, TypeError):
            raise InvalidRequest(
                f"observed_at, position {at}: expected ISO 8601 text, got {str(text)[:60]!r}"
            ) from None
    return moments
