"""Windows of the prediction log, read with DuckDB from its Parquet files.

Only files that have rows of a window are opened, and of these only the row groups with its times and the columns that
are needed: reading a window costs by its rows, not by the size of the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.files import put_aside
from mlops_workbench.monitoring.log_summaries import LogSummaries
from mlops_workbench.monitoring.outlines import Outline, check_window, joined_ranges, outlines
from mlops_workbench.monitoring.parquet_sql import parquet_source, quoted
from mlops_workbench.serving.log.catalog import Entry, reading
from mlops_workbench.serving.log.segments import FEATURE, HASHED


@dataclass(frozen=True)
class Slice:
    """A window of the log, with counts of its rows.

    Attributes
    ----------
    number : int
        Start in microseconds since the epoch, or the number of a window by count.
    label : str
        Name for users: ``2013-04``, or ``rows 1-5000``.
    start_ms, end_ms : int
        First instant, and the first instant after it.
    rows, labelled : int
        Number of predictions, and of those with truth.
    versions : list of int
        Model versions, the one with most rows first.
    version_rows, version_labelled : int
        Predictions, and predictions with truth, of that first version.
    digest : str
        Changes whenever the rows or their truth change.
    """

    number: int
    label: str
    start_ms: int
    end_ms: int
    rows: int
    labelled: int
    versions: list[int]
    version_rows: int
    version_labelled: int
    digest: str


@dataclass
class PredictionReader:
    """The prediction log of an endpoint, joined with its feedback.

    Which files there are is read when the object is made; until it is closed, none of them is replaced. Segments that
    are being written, failed answers, and answers of shadow versions are left out.

    Parameters
    ----------
    predictions, feedback : Path
        Folders of the workspace; missing ones count as empty.
    endpoint : str
        Endpoint name.
    model : str
        Registered model; answers of another one, which the endpoint served before, are left out.
    window : str
        ``hour``, ``day``, ``month`` (of the event time, UTC) or a number of rows as text.
    summaries : LogSummaries, optional
        What is known of the files already.

    Raises
    ------
    InvalidInput
        The window is not one of these.
    OSError, pyarrow.ArrowException
        A file is damaged.
    """

    predictions: Path
    feedback: Path
    endpoint: str
    model: str
    window: str
    summaries: LogSummaries | None = None
    _connection: duckdb.DuckDBPyConnection | None = field(default=None, init=False, repr=False)
    _read: dict[int, Outline] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_window(self.window)
        summaries = self.summaries or LogSummaries(self.predictions, self.feedback, self.endpoint)
        self._held = contextlib.ExitStack()
        self._held.enter_context(reading(*summaries.folders))
        try:
            predicted, self._outcomes = summaries.read()
        except BaseException:
            self._held.close()
            raise
        # A segment has answers of one model; columns of another may have the same names and other types.
        self._answers = [(path, entry) for path, entry in predicted if entry.model == self.model]
        if not self._answers:
            self.close()

    def close(self) -> None:
        """Free DuckDB's memory, and let others replace the files."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._answers = []
        self._held.close()

    def outlines(self) -> list[Outline]:
        """All windows in order of time, from the summaries of the files."""
        answered = (hour for _, entry in self._answers for hour in entry.hours)
        return outlines(answered, (hour for _, entry in self._outcomes for hour in entry.hours), self.window)

    def slices(self, windows: Sequence[Outline] | None = None) -> list[Slice]:
        """Windows in order of time, all by default.

        Parameters
        ----------
        windows : sequence of Outline, optional
            Some of :meth:`outlines`.
        """
        wanted = self.outlines() if windows is None else windows
        self._read = {one.number: one for one in wanted}
        if not self._read:
            return []
        self._make_tables()
        rows = (
            self._opened()
            .execute(
                """
            with parts as (
                select bucket, version, count(*) as rows, count(label) as labelled,
                       min(event_us) as first, max(event_us) as last
                from answered group by bucket, version
            )
            select bucket, sum(rows)::bigint, sum(labelled)::bigint, min(first), max(last),
                   list(version order by rows desc, version desc), list(rows order by rows desc, version desc),
                   list(labelled order by rows desc, version desc)
            from parts group by bucket order by bucket
            """
            )
            .fetchall()
        )
        found = []
        for bucket, count, labelled, first, last, versions, version_rows, version_labelled in rows:
            outline = self._read[bucket]
            extent = (
                (outline.from_us, outline.until_us)
                if not self.window.isdecimal()
                else (first, last // 1000 * 1000 + 1000)
            )
            main = (version_rows[0], version_labelled[0])
            found.append(
                Slice(
                    bucket, outline.label, extent[0] // 1000, extent[1] // 1000, count, labelled, versions, *main,
                    outline.key,
                )
            )  # fmt: skip
        return found

    def load_window(self, window: Slice, *, rows: int | None = None) -> pa.Table:
        """Predictions of a window by its main version, the one with most rows.

        Parameters
        ----------
        window : Slice
            One of :meth:`slices`; those of the last call need not be read again.
        rows : int, optional
            Size of a sample, which is always the same for the same rows.

        Returns
        -------
        pyarrow.Table
            The inputs under their own names, then ``__prediction__`` and ``__truth__``.
        """
        connection = self._holding(window)
        limit = f"order by hash(request_id, row), request_id, row limit {int(rows)}" if rows is not None else ""
        chosen = f"""
            select filename, file_row_number, prediction, label from answered
            where bucket = {window.number} and version = {window.versions[0]} {limit}
            """
        files = self._files_of(chosen)
        # Inputs of other versions may be in files without a row of this window.
        names = self._columns(files, FEATURE)
        inputs = [f"features.{quoted(name)} as {quoted(name.removeprefix(FEATURE))}" for name in names]
        columns = [*inputs, "chosen.prediction as __prediction__", "chosen.label as __truth__"]
        outline = self._read[window.number]
        return connection.sql(
            f"""
            with chosen as ({chosen}), features as (
                select filename, file_row_number, {", ".join(map(quoted, names)) or "0 as nothing"}
                from {parquet_source(files)} where {_between(outline.from_us, outline.until_us)}
            )
            select {", ".join(columns)}
            from features join chosen using (filename, file_row_number)
            """
        ).to_arrow_table()

    def hashed_inputs(self, window: Slice) -> list[str]:
        """Inputs of a window's main version of which only hashes are in the log, by their own names."""
        self._holding(window)
        chosen = f"select filename from answered where bucket = {window.number} and version = {window.versions[0]}"
        return [name.removeprefix(HASHED) for name in self._columns(self._files_of(chosen), HASHED)]

    def _files_of(self, rows: str) -> list[str]:
        found = self._opened().execute(f"select distinct filename from ({rows})").fetchall()
        return [name for (name,) in found]

    def _columns(self, files: list[str], prefix: str) -> list[str]:
        described = self._opened().execute(f"describe select * from {parquet_source(files)}").fetchall()
        return [name for name, *_ in described if name.startswith(prefix)]

    def load_outcomes(self, window: Slice) -> pa.Table:
        """All predictions with truth of a window and its main version: ``__prediction__`` and ``__truth__``."""
        return (
            self._holding(window)
            .sql(
                f"""
                select prediction as __prediction__, label as __truth__ from answered
                where bucket = {window.number} and version = {window.versions[0]} and label is not null
                order by event_us, request_id, row
                """
            )
            .to_arrow_table()
        )

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if not self._answers:
            raise InvalidInput("the prediction log is empty or closed", hint="use a window from slices()")
        if self._connection is None:
            self._connection = duckdb.connect(":memory:")
            self._connection.execute("set enable_progress_bar = false")
            self._connection.execute("set preserve_insertion_order = false")
        return self._connection

    def _holding(self, window: Slice) -> duckdb.DuckDBPyConnection:
        connection = self._opened()
        if window.number not in self._read:
            self.slices([one for one in self.outlines() if one.number == window.number])
        return connection

    def _make_tables(self) -> None:
        connection = self._opened()
        ranges = joined_ranges(self._read.values())
        self._make_truth(ranges)
        # Without the features, which are read from the files for each window. Numbers instead of timestamps with a
        # time zone, which DuckDB would convert to the session's zone.
        parts = " union all by name ".join(
            f"""
            select filename, file_row_number, request_id, row, version, prediction,
                   epoch_us(event_time) as event_us, epoch_us(ts) as answered_us, {before} as before
            from {parquet_source(_within(self._answers, start, until))}
            where status between 200 and 299 and arm is distinct from 'shadow' and {_between(start, until)}
            """
            for start, until, before in ranges
        )
        place = "0"
        if self.window.isdecimal():
            order = "event_us, answered_us, request_id, row, version, filename, file_row_number"
            place = f"before + row_number() over (partition by before order by {order}) - 1"
        connection.execute(
            f"""
            create or replace table answered as
            with placed as (select *, {place} as place from ({parts})),
            numbered as (select *, ({self._bucket()})::bigint as bucket from placed)
            select numbered.*, truth.label
            from numbered left join truth using (request_id, row)
            where bucket in ({", ".join(map(str, self._read))})
            """
        )
        connection.execute("drop table truth")

    def _bucket(self) -> str:
        if self.window.isdecimal():
            return f"place // {int(self.window)}"
        return f"epoch_us(date_trunc('{self.window}', make_timestamp(event_us)))"

    def _make_truth(self, ranges: list[tuple[int, int, int]]) -> None:
        connection = self._opened()
        connection.execute("create or replace table truth (request_id varchar, row integer, label double)")
        parts = []
        for start, until, _ in ranges:
            files = [(path, entry) for path, entry in self._outcomes if entry.has_time]
            if chosen := _within(files, start, until):
                parts.append(f"select * from {parquet_source(chosen)} where {_between(start, until)}")
        old = [(path, entry) for path, entry in self._outcomes if not entry.has_time]
        chosen = sorted({name for start, until, _ in ranges for name in _within(old, start, until)})
        if chosen:
            parts.append(f"select * from {parquet_source(chosen)}")
        if not parts:
            return
        # The label received last is used; ties are broken by the file name (ids sort by time) and the row.
        connection.execute(
            f"""
            create or replace table truth as
            select request_id, row, label
            from ({" union all by name ".join(parts)})
            qualify row_number() over (
                partition by request_id, row
                order by received_at desc, observed_at desc nulls last, filename desc, file_row_number desc
            ) = 1
            """
        )


def _within(files: Sequence[tuple[Path, Entry]], start: int, until: int) -> list[str]:
    """Files that have rows of a time."""
    return [
        str(path)
        for path, entry in files
        if any(hour.last_us >= start and hour.first_us < until for hour in entry.hours)
    ]


def _between(start: int, until: int) -> str:
    # Whole seconds, which a double holds exactly. Written so that row groups without such times are passed over.
    return f"(event_time >= to_timestamp({start // 1_000_000}) and event_time < to_timestamp({until // 1_000_000}))"


def _files(folder: Path) -> list[str]:
    # Not by DuckDB's globs, since a folder's name may contain '[' or '*'. Names with a dot are still being written.
    return sorted(str(path) for path in folder.rglob("*.parquet") if not path.name.startswith("."))


def put_damaged_aside(*folders: Path) -> list[Path]:
    """Rename the files of a log that cannot be read, and return their new names.

    Every file is read for that, so it is done after an error only.
    """
    return [put_aside(Path(name)) for folder in folders for name in _files(folder) if not _is_readable(name)]


def _is_readable(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            pq.ParquetFile(opened).read()
    except (OSError, pa.ArrowException):
        return False
    return True
