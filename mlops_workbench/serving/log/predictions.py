"""The prediction log: every answered prediction, in Parquet segments.

An answer is in the journal before it is sent, and survives the death of the process. A thread converts the journal to
segments. No request waits for the disk: when the journal cannot be written, answers wait in a bounded buffer, and
beyond that they are dropped and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal.gc_pause import collection_paused
from mlops_workbench.serving.desired import JOURNAL, Desired
from mlops_workbench.serving.log.answers import Answered, Context, Record
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.journal import AnswerJournal, delete_session, read, sessions_left
from mlops_workbench.serving.log.protection import Protection, read_key
from mlops_workbench.serving.log.segments import segment, write_parquet

log = logging.getLogger("mlops_workbench.serving")

_DAY_US, _FIRST_DAY = 86_400_000_000, date(1970, 1, 1)
#: What values raise that the journal or a table cannot hold.
_UNSTORABLE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError, OverflowError)


class PredictionLog:
    """Writes answers to the journal, and the journal to segments in a thread.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>``; segments go to ``date=<YYYY-MM-DD>/`` below it.
    seconds : float
        Longest time until an answer is in a segment, and until it is synced to the disk, while that can be written.
    rows : int
        Rows after which a segment is written at once.
    capacity : int, optional
        Rows that may wait while the journal cannot be written; by default four segments.
    protection : Protection, optional
        Inputs that are not logged in clear; by default only secrets are left out.

    Attributes
    ----------
    written, dropped : int
        Rows in segments, and rows that are lost.
    asked : AskedRows
        Finds the rows that were answered, by any process of the endpoint.
    problem : str
        Why nothing can be written, empty for no reason.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float,
        rows: int,
        capacity: int | None = None,
        protection: Protection | None = None,
    ) -> None:
        self.asked = AskedRows(folder)
        self._folder = folder
        self._seconds = seconds
        self._rows = rows
        self._capacity = 4 * rows if capacity is None else capacity
        self._journal = AnswerJournal(folder / JOURNAL, seconds / 2, protection)
        # Answers that the journal did not take.
        self._waiting: deque[Answered] = deque()
        self._waiting_rows = 0
        self._journal_rows = 0
        # Closed sessions of this process whose conversion has begun.
        self._begun: set[str] = set()
        self._condition = threading.Condition()
        self._closing = False
        self.written = 0
        self.dropped = 0
        self.problem = ""
        try:
            self._next_session()
        except StorageError as error:
            self._report(str(error))
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)
        self._thread.start()

    def append(self, answered: Answered) -> None:
        """Put an answer into the journal."""
        rows = answered.batch.rows
        with self._condition:
            if self._closing:
                self.dropped += rows
                return
            if not self._waiting:
                try:
                    self._put(answered)
                    return
                except StorageError as error:
                    self._report(str(error))
            if self._waiting_rows + rows > self._capacity:
                self.dropped += rows
                return
            self._waiting.append(answered)
            self._waiting_rows += rows

    def close(self) -> None:
        """Convert the journal, and end the thread; what cannot be converted now is converted by the next process."""
        with self._condition:
            if self._closing:
                return
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                # Half of the time, since writing takes some, too.
                self._condition.wait_for(self._is_due, timeout=self._seconds / 2)
                closing = self._closing
            try:
                problem = self._step(closing)
            except Exception as error:  # the outermost loop of a thread: the journal keeps what is not converted
                log.exception("predictions cannot be logged")
                problem = f"{type(error).__name__}: {error}"
            with self._condition:
                self._report(problem)
                if closing:
                    self.dropped += self._waiting_rows
                    self._journal.release()
                    return
            if problem:
                # The disk is full or unavailable.
                time.sleep(min(self._seconds / 2, 1.0))

    def _is_due(self) -> bool:
        return self._closing or (self._journal_rows >= self._rows and not self.problem)

    def _step(self, closing: bool) -> str:
        """Convert what there is; returns what was wrong."""
        problem = ""
        try:
            if self._waiting or not self._journal.is_empty:
                self._next_session()
        except StorageError as error:
            problem = str(error)
        if closing:
            self._journal.close()
        try:
            for session in self._journal.closed:
                is_new = session not in self._begun
                self._begun.add(session)
                problem = self._convert(session, is_new=is_new) or problem
            with sessions_left(self._folder / JOURNAL) as sessions:
                for session in sessions:
                    problem = self._convert(session) or problem
        except (OSError, pa.ArrowException) as error:
            problem = f"{type(error).__name__}: {error}"
        return problem

    def _next_session(self) -> None:
        writer = self._journal.open()
        with self._condition:
            before = self._journal.switch(writer)
            self._journal_rows = 0
        if before is not None:
            self._journal.end(before)
        with self._condition:
            while self._waiting:
                self._put(self._waiting[0])
                self._waiting_rows -= self._waiting.popleft().batch.rows

    def _put(self, answered: Answered) -> None:
        rows = answered.batch.rows
        try:
            self._journal.append(answered)
        except _UNSTORABLE:
            # The answer is right, and must not fail for its log.
            log.exception("%d predicted rows cannot be logged and are dropped", rows)
            self.dropped += rows
            return
        self._journal_rows += rows
        if self._journal_rows >= self._rows:
            self._condition.notify()

    def _convert(self, session: str, *, is_new: bool = False) -> str:
        """Convert a session and delete it; returns why it cannot be read, which blocks no other."""
        try:
            with collection_paused():
                for rows, is_written in convert(self._folder, session, self._rows, is_new=is_new):
                    if is_written:
                        self.written += rows
                    else:
                        self.dropped += rows
        except StorageError as error:
            return str(error)
        self._journal.delete(session)
        self._begun.discard(session)
        return ""

    def _report(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("predictions cannot be logged: %s", problem)
        self.problem = problem


def prediction_log(desired: Desired) -> PredictionLog:
    """Open the log that an endpoint's desired state names.

    Raises
    ------
    StorageError
        The key for personal columns cannot be read.
    """
    key = read_key(Path(desired.log_key)) if desired.personal and desired.personal_in_log == "hash" else b""
    return PredictionLog(
        Path(desired.predictions),
        seconds=desired.settings.log_seconds,
        rows=desired.settings.log_rows,
        protection=Protection(desired.personal, desired.personal_in_log, key),
    )


def recover(folder: Path, rows: int) -> int:
    """Convert what processes that have ended left in the journal, and return the number of rows.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>``.
    rows : int
        Rows per segment.

    Raises
    ------
    StorageError
        The journal cannot be read, or a segment not be written.
    """
    journal = folder / JOURNAL
    if not journal.is_dir():
        return 0
    recovered = 0
    try:
        with sessions_left(journal) as sessions:
            for session in sessions:
                recovered += sum(done for done, is_written in convert(folder, session, rows) if is_written)
                delete_session(journal, session)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"the prediction log cannot be written: {error}", where=str(folder), hint="check the free space"
        ) from error
    return recovered


def convert(folder: Path, session: str, rows: int, *, is_new: bool = False) -> Iterator[tuple[int, bool]]:
    """Write the answers of a session to segments that have its name and their numbers, so that none is written twice.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>``.
    session : str
        One that no process writes any more.
    rows : int
        Rows per segment.
    is_new : bool
        Whether nobody has begun to convert it, so that its segments need not be searched.

    Yields
    ------
    rows : int
        Rows of a segment.
    is_written : bool
        False for rows that no table can hold.
    """
    answers = read(folder / JOURNAL, session)
    # While a session is in the journal, its segments are not compacted, see `compaction`.
    there = [
        range(int(first), int(last) + 1)
        for day in ({_date(_day(record)) for _, _, record in answers} if not is_new else ())
        for first, last in (path.stem.rsplit("-", 2)[1:] for path in folder.glob(f"date={day}/{session}-*.parquet"))
    ]
    answers = [answer for answer in answers if not any(answer[0] in done for done in there)]
    for day, members in _groups(answers, rows):
        for part, table in _tables(members):
            if table is not None:
                name = f"{session}-{part[0][0]:012d}-{part[-1][0]:012d}.parquet"
                write_parquet(folder / f"date={day}" / name, table)
            yield sum(record.rows for _, _, record in part), table is not None


def _tables(
    members: list[tuple[int, Context, Record]],
) -> Iterator[tuple[list[tuple[int, Context, Record]], pa.Table | None]]:
    """One table of all answers; if it cannot hold them, tables of halves, so that an odd answer costs no other."""
    try:
        yield members, segment([(context, record) for _, context, record in members])
    except _UNSTORABLE:
        if len(members) == 1:
            log.exception("%d predicted rows cannot be logged and are dropped", members[0][2].rows)
            yield members, None
            return
        middle = len(members) // 2
        yield from _tables(members[:middle])
        yield from _tables(members[middle:])


def _groups(
    answers: Iterable[tuple[int, Context, Record]], rows: int
) -> Iterator[tuple[str, list[tuple[int, Context, Record]]]]:
    """Consecutive answers of one day and model version, up to a number of rows."""
    key, size = (0, ""), 0
    members: list[tuple[int, Context, Record]] = []
    for answer in answers:
        _, context, record = answer
        found = _day(record), context.digest
        if members and (found != key or size >= rows):
            yield _date(key[0]), members
            members, size = [], 0
        key = found
        members.append(answer)
        size += record.rows
    if members:
        yield _date(key[0]), members


def _day(record: Record) -> int:
    """Days since 1970."""
    return record.answered_us // _DAY_US


def _date(day: int) -> str:
    return (_FIRST_DAY + timedelta(days=day)).isoformat()
