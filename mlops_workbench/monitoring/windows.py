"""Windows of the prediction log, read with DuckDB from its Parquet files."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.files import put_aside

#: Prefix of the log's columns that hold a model's inputs.
FEATURE = "feature."

_UNITS = ("hour", "day", "month")
_LABELS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


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
        Digest of the rows, their versions and their truth.
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

    Everything is read when the object is made. Segments that are being written, failed answers, and answers of shadow
    versions are left out.

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

    Raises
    ------
    InvalidInput
        The window is not one of these.
    """

    predictions: Path
    feedback: Path
    endpoint: str
    model: str
    window: str
    _connection: duckdb.DuckDBPyConnection | None = field(default=None, init=False, repr=False)
    _columns: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self._bucket = _bucket(self.window)
        segments = _files(self.predictions / f"endpoint={self.endpoint}")
        if not segments:
            return
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("set enable_progress_bar = false")
        self._connection.execute("set preserve_insertion_order = false")
        # A segment has answers of one model; columns of another may have the same names and other types.
        found = self._connection.execute(
            f"select distinct filename from {_parquet(segments)} where model = ?", [self.model]
        ).fetchall()
        segments = sorted(name for (name,) in found)
        if segments:
            self._make_tables(segments, _files(self.feedback / f"endpoint={self.endpoint}"))
        else:
            self.close()

    def close(self) -> None:
        """Free DuckDB's memory."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def slices(self) -> list[Slice]:
        """All windows in order of time."""
        if self._connection is None:
            return []
        # A sum of row hashes does not depend on the order in which files are read.
        rows = self._connection.execute(
            """
            with parts as (
                select bucket, version, count(*) as rows, count(label) as labelled,
                       min(event_us) as first, max(event_us) as last, min(place) as low, max(place) as high,
                       sum(hash(request_id, row, version, event_us, label::varchar)::hugeint) as digest
                from answered group by bucket, version
            )
            select bucket, sum(rows)::bigint, sum(labelled)::bigint, min(first), max(last), min(low), max(high),
                   list(version order by rows desc, version desc), list(rows order by rows desc, version desc),
                   list(labelled order by rows desc, version desc), sum(digest)::varchar
            from parts group by bucket order by bucket
            """
        ).fetchall()
        found = []
        for bucket, count, labelled, first, last, low, high, versions, version_rows, version_labelled, digest in rows:
            label, start, end = self._extent(bucket, first, last, low, high)
            main = (version_rows[0], version_labelled[0])
            found.append(Slice(bucket, label, start, end, count, labelled, versions, *main, digest))
        return found

    def load_window(self, window: Slice, *, rows: int | None = None) -> pa.Table:
        """Predictions of a window by its main version, the one with most rows.

        Parameters
        ----------
        window : Slice
            One of :meth:`slices`.
        rows : int, optional
            Size of a sample, which is always the same for the same rows.

        Returns
        -------
        pyarrow.Table
            The inputs under their own names, then ``__prediction__`` and ``__truth__``.
        """
        connection = self._opened()
        limit = f"order by hash(request_id, row), request_id, row limit {int(rows)}" if rows is not None else ""
        chosen = f"""
            select filename, file_row_number, prediction, label from answered
            where bucket = {window.number} and version = {window.versions[0]} {limit}
            """
        files = [name for (name,) in connection.execute(f"select distinct filename from ({chosen})").fetchall()]
        names = [name for name in self._columns if name.startswith(FEATURE)]
        inputs = [f"features.{_quoted(name)} as {_quoted(name.removeprefix(FEATURE))}" for name in names]
        columns = [*inputs, "chosen.prediction as __prediction__", "chosen.label as __truth__"]
        # Some inputs may only be in files of other versions, without a row of this window.
        known = {name for name, *_ in connection.execute(f"describe select * from {_parquet(files)}").fetchall()}
        columns = [text for name, text in zip([*names, "", ""], columns, strict=True) if not name or name in known]
        return connection.sql(
            f"""
            with chosen as ({chosen})
            select {", ".join(columns)}
            from {_parquet(files)} as features join chosen using (filename, file_row_number)
            """
        ).to_arrow_table()

    def load_outcomes(self, window: Slice) -> pa.Table:
        """All predictions with truth of a window and its main version: ``__prediction__`` and ``__truth__``."""
        return (
            self._opened()
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
        if self._connection is None:
            raise InvalidInput("the prediction log is empty or closed", hint="use a window from slices()")
        return self._connection

    def _make_tables(self, segments: list[str], feedback: list[str]) -> None:
        connection = self._connection
        assert connection is not None
        described = connection.execute(f"describe select * from {_parquet(segments)}").fetchall()
        self._columns = [name for name, *_ in described]
        connection.execute("create table truth (request_id varchar, row integer, label double)")
        if feedback:
            # The label received last is used; ties are broken by the file name (ids sort by time) and the row.
            connection.execute(
                f"""
                create or replace table truth as
                select request_id, row, label
                from {_parquet(feedback)}
                qualify row_number() over (
                    partition by request_id, row
                    order by received_at desc, observed_at desc nulls last, filename desc, file_row_number desc
                ) = 1
                """
            )
        place = (
            "row_number() over (order by event_us, answered_us, request_id, row, filename, file_row_number) - 1"
            if self.window.isdecimal()
            else "0"
        )
        # Without the features, which are read from the files for each window. Numbers instead of timestamps with a
        # time zone, which DuckDB would convert to the session's zone.
        connection.execute(
            f"""
            create table answered as
            with logged as (
                select filename, file_row_number, request_id, row, version, prediction,
                       epoch_us(event_time) as event_us, epoch_us(ts) as answered_us
                from {_parquet(segments)}
                where status between 200 and 299 and arm is distinct from 'shadow' and event_time is not null
            ), placed as (select *, {place} as place from logged)
            select placed.*, ({self._bucket})::bigint as bucket, truth.label
            from placed left join truth using (request_id, row)
            """
        )
        connection.execute("drop table truth")

    def _extent(self, bucket: int, first: int, last: int, low: int, high: int) -> tuple[str, int, int]:
        if self.window.isdecimal():
            return f"rows {low + 1}-{high + 1}", first // 1000, last // 1000 + 1
        start = _moment(bucket)
        end = _next(start, self.window)
        return start.strftime(_LABELS[self.window]), bucket // 1000, int(end.timestamp()) * 1000


def _bucket(window: str) -> str:
    if window in _UNITS:
        return f"epoch_us(date_trunc('{window}', make_timestamp(event_us)))"
    if window.isdecimal() and int(window) > 0:
        return f"place // {int(window)}"
    hint = "use 'hour', 'day', 'month' or a number of rows such as '5000'"
    raise InvalidInput(f"'{window}' is not a window", hint=hint)


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


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)


def _next(start: datetime, unit: str) -> datetime:
    if unit == "month":
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return datetime.fromtimestamp(start.timestamp() + (3600 if unit == "hour" else 86400), UTC)


def _parquet(files: Sequence[str]) -> str:
    # By name, since segments of several versions may have different inputs.
    listed = ", ".join("'" + glob.escape(file).replace("'", "''") + "'" for file in files)
    options = "union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true"
    return f"read_parquet([{listed}], {options})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
