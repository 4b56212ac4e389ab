"""Events of a pipeline run, in an append-only log that survives a crash of any process."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.pipelines import Scalar
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.pipelines.definition.nouns import Cause


class _Event(msgspec.Struct, frozen=True, tag_field="event", tag=True):
    """Base of the events; `at_ms` is milliseconds since the epoch."""

    at_ms: int


class Launched(_Event):
    """The runner process was started, on the machine `host` (empty in logs of versions that resume no runs)."""

    process: ProcessIdentity
    host: str = ""


class RunStarted(_Event):
    """A runner has begun; `run_uid` is the pipeline's run in the tracking store, empty for a single notebook.

    `process` is that of the runner: the one that launched it may have ended before it recorded that.
    """

    run_uid: str
    process: ProcessIdentity | None = None


class Resumed(_Event):
    """The run goes on with another runner.

    `by_hand`: a user asked for it, so that also stages run again that had failed, or were skipped or cancelled.
    """

    by_hand: bool = False


class StageStarted(_Event):
    """An attempt at a stage was started; `chosen` has the instances that its inputs with a choice come from."""

    stage: str
    attempt: int
    run_uid: str
    chosen: dict[str, str] = {}


class AttemptFailed(_Event):
    """An attempt at a stage has failed, and the next one is due at `retry_ms`."""

    stage: str
    attempt: int
    message: str
    retry_ms: int


class AttemptInterrupted(_Event):
    """An attempt at a stage was ended by the end of its runner; it does not count as a try."""

    stage: str
    attempt: int


class StageReused(_Event):
    """The result of a stage was taken from the cache; its end follows.

    `run_uid` is the run of the stage that made it, `run_id` the pipeline run of that; `chosen` as in `StageStarted`;
    `metrics` are those of that run.
    """

    stage: str
    run_uid: str
    run_id: str
    chosen: dict[str, str] = {}
    metrics: dict[str, JsonNumber] = {}


class StageEnded(_Event):
    """A stage has ended: ``succeeded failed cancelled skipped refused``; `notes` say why it may not be reused."""

    stage: str
    state: str
    message: str = ""
    notes: list[str] = []


class CancelRequested(_Event):
    """A user asked to stop the run."""


class RunEnded(_Event):
    """The run has ended: ``succeeded failed cancelled not_published``."""

    state: str
    message: str = ""


class ProcessStarted(_Event):
    """A process of an attempt has started: that of the stage, or its kernel."""

    process: ProcessIdentity


class TrialStarted(_Event):
    """A trial of a sweep was started: its number from 1, the values that are varied, and the id of its run."""

    number: int
    params: dict[str, Scalar]
    run: str
    rung: int = 0


class TrialEnded(_Event):
    """A trial of a sweep has ended: ``succeeded failed cancelled refused``."""

    number: int
    state: str
    run_uid: str = ""
    value: JsonNumber | None = None
    metrics: dict[str, JsonNumber] = {}
    message: str = ""


class CellStarted(_Event):
    """A cell was sent to the kernel; `cell` is its index in the executed notebook."""

    cell: int


class CellEnded(_Event):
    """A cell has ended; `status` is ``completed`` or ``failed``."""

    cell: int
    status: str


class AttemptEnded(_Event):
    """Result of an attempt at a stage, written by its process: ``succeeded failed cancelled``.

    `cause` says why it failed, for the rule of the retries; `cell` is the index of the cell that failed.
    """

    state: str
    message: str = ""
    error: str = ""
    traceback: str = ""
    cause: Cause = "error"
    cell: int | None = None


RunEvent: TypeAlias = (
    Launched
    | RunStarted
    | Resumed
    | StageStarted
    | AttemptFailed
    | AttemptInterrupted
    | StageReused
    | StageEnded
    | CancelRequested
    | RunEnded
    | TrialStarted
    | TrialEnded
)
StageEvent: TypeAlias = ProcessStarted | CellStarted | CellEnded | AttemptEnded

_run_decoder = msgspec.json.Decoder(RunEvent)
_stage_decoder = msgspec.json.Decoder(StageEvent)


def append_event(path: Path, event: RunEvent | StageEvent) -> None:
    """Append one event, in a single write so that several processes can append to a log.

    Raises
    ------
    StorageError
        The log cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _write_line(descriptor, msgspec.json.encode(event) + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"cannot write {path.name}: {error.strerror or error}", where=str(path)) from error


def _write_line(descriptor: int, line: bytes) -> None:
    """Append a line; on a full disk nothing of it, so that the next event has a line of its own."""
    written = os.write(descriptor, line)
    if written == len(line):
        return
    end = os.lseek(descriptor, 0, os.SEEK_CUR)
    if os.fstat(descriptor).st_size == end:
        os.ftruncate(descriptor, end - written)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_run_events(path: Path) -> list[RunEvent]:
    """Events of a run so far.

    Raises
    ------
    StorageError
        The log cannot be read.
    """
    return list(_events(path, _run_decoder))


def read_stage_events(path: Path) -> list[StageEvent]:
    """Events of an attempt at a stage so far; raises like :func:`read_run_events`."""
    return list(_events(path, _stage_decoder))


_Kind = TypeVar("_Kind")


def is_damaged(path: Path, *, but_last: bool = False) -> bool:
    """Whether the log of a runner that is dead lacks events that were in it; `but_last`: one that was cut off may."""
    *lines, rest = _lines(path)
    # Each event is written at once, with its line end.
    return bool(rest and not but_last) or sum(1 for _ in _events(path, _run_decoder)) < len(lines)


def drop_partial(path: Path) -> None:
    """Remove a last event that was cut off, so that the next one has a line of its own.

    Raises
    ------
    StorageError
        The log cannot be written.
    """
    *lines, rest = _lines(path)
    if rest:
        try:
            os.truncate(path, sum(len(line) + 1 for line in lines))
        except OSError as error:
            raise StorageError(f"cannot write {path.name}: {error.strerror or error}", where=str(path)) from error


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [b""]
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror or error}", where=str(path)) from error


def _events(path: Path, decoder: msgspec.json.Decoder[_Kind]) -> Iterator[_Kind]:
    for line in _lines(path)[:-1]:  # text after the last line end is being written
        # A full disk truncates a line, and the next event is then on the same line.
        with contextlib.suppress(msgspec.DecodeError):
            yield decoder.decode(line)
