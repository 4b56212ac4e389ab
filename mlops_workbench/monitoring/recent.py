"""The last answered rows of an endpoint, and the replay of them by another version."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.errors import first_line
from mlops_workbench.core.releases import ReplayReport
from mlops_workbench.core.settings import Settings
from mlops_workbench.monitoring.log_summaries import LogSummaries
from mlops_workbench.monitoring.parquet_sql import parquet_source, quoted
from mlops_workbench.serving.log.catalog import reading
from mlops_workbench.serving.log.segments import FEATURE, HASHED
from mlops_workbench.serving.runtimes.trial import DryRunRequest, RunDry

#: Columns of a logged row besides its inputs.
_ANSWERS = ("request_id", "row", "version", "prediction", "probabilities")


def recent_rows(log: tuple[Path, Path, str], model: str, version: int, rows: int) -> pa.Table | None:
    """The rows that an endpoint answered last, the newest first.

    Parameters
    ----------
    log : tuple of (Path, Path, str)
        Folders of predictions and feedback of the workspace, and the endpoint.
    model : str
        Registered model; answers of another one, which the endpoint served before, are left out.
    version : int
        Its answers are preferred: those of other versions are read only if there is none of it.
    rows : int
        Most rows.

    Returns
    -------
    pyarrow.Table
        ``request_id``, ``row``, ``version``, ``prediction``, ``probabilities``, and the inputs as they are logged:
        ``feature.<name>`` or ``hashed.<name>``. None for no rows.

    Raises
    ------
    OSError, pyarrow.ArrowException, duckdb.Error
        A file is damaged.
    """
    summaries = LogSummaries(*log)
    with reading(*summaries.folders):
        predicted, _ = summaries.read()
        days: dict[Path, list[str]] = {}
        for path, entry in predicted:
            if entry.model == model:
                days.setdefault(path.parent, []).append(str(path))
        # The name of a folder is the day of the answers.
        newest = [files for _, files in sorted(days.items(), reverse=True)]
        with duckdb.connect(":memory:") as connection:
            connection.execute("set enable_progress_bar = false")
            connection.execute("set timezone = 'UTC'")
            for of_version in (f"version = {int(version)}", "true"):
                if chosen := _chosen(connection, newest, of_version, rows):
                    return _read(connection, chosen)
    return None


def _chosen(
    connection: duckdb.DuckDBPyConnection, days: list[list[str]], condition: str, rows: int
) -> list[tuple[str, int]]:
    """Files and numbers of the rows, the newest first."""
    found: list[tuple[str, int]] = []
    for files in days:
        if len(found) >= rows:
            break
        found += connection.execute(
            f"""
            select filename, file_row_number from {parquet_source(files)}
            where status between 200 and 299 and arm is distinct from 'shadow' and {condition}
            order by ts desc, request_id, row limit {rows - len(found)}
            """
        ).fetchall()
    return found


def _read(connection: duckdb.DuckDBPyConnection, chosen: list[tuple[str, int]]) -> pa.Table:
    files = sorted({name for name, _ in chosen})
    places = pa.table(
        {
            "filename": pa.array([name for name, _ in chosen], pa.string()),
            "file_row_number": pa.array([at for _, at in chosen], pa.int64()),
            "place": pa.array(range(len(chosen)), pa.int64()),
        }
    )
    connection.register("chosen", places)
    described = connection.execute(f"describe select * from {parquet_source(files)}").fetchall()
    names = [name for name, *_ in described if name in _ANSWERS or name.startswith((FEATURE, HASHED))]
    return connection.sql(
        f"""
        select {", ".join(f"answers.{quoted(name)}" for name in names)}
        from {parquet_source(files)} as answers join chosen using (filename, file_row_number) order by place
        """
    ).to_arrow_table()


def replay_logged(
    log: tuple[Path, Path, str],
    model: str,
    present: int,
    rows: int,
    folder: Path,
    settings: Settings,
    run_dry: RunDry,
    seconds: float,
) -> ReplayReport | None:
    """Let a version answer the rows that an endpoint answered last, in a process of its own.

    Parameters
    ----------
    log, model, rows
        See `recent_rows`.
    present : int
        The version whose answers are compared.
    folder : Path
        Exported version that answers them again.
    settings : Settings
        What endpoints may load, and which columns are personal.
    run_dry : callable
        Lets the version answer.
    seconds : float
        Longest time.

    Returns
    -------
    ReplayReport or None
        The result, without endpoint, version and time; None for no rows.
    """
    try:
        logged = recent_rows(log, model, present, rows)
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        return ReplayReport(problem=f"the prediction log cannot be read: {first_line(error)}")
    if logged is None:
        return None
    against = sorted(set(logged["version"].to_pylist()))
    with tempfile.TemporaryDirectory(prefix="mlops-replay-") as name:
        file = Path(name) / "logged.parquet"
        pq.write_table(logged, file)
        request = DryRunRequest(
            str(folder), settings.serving, replayed=str(file), personal=settings.data.personal,
            # Time for the libraries and the model to load.
            replay_seconds=seconds / 2,
        )  # fmt: skip
        found = run_dry(request, seconds=seconds)
    report = found.replay or ReplayReport(problem=found.problem or "the process gave no result")
    return replace(report, rows=logged.num_rows, against=against)
