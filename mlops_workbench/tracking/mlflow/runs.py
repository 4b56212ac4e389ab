"""All runs of an MLflow store, page by page."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_args

from mlops_workbench.core.errors import NotFound, Unavailable
from mlops_workbench.core.runs import Run, RunStatus
from mlops_workbench.core.tags import ERROR, KIND, METRIC_PREFIX, NOTEBOOK, PARENT_RUN_ID, PARENT_UID, RUN_UID, USER
from mlops_workbench.tracking.mapping.values import MAX_FLOAT, indexed_value
from mlops_workbench.tracking.mlflow.connection import all_pages
from mlops_workbench.tracking.sqlite import connect_read_only, select_in

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlops_workbench.tracking.mlflow.store import TrackingStore


_RESOURCES = f"{METRIC_PREFIX}system/"


class RunPage(NamedTuple):
    """Runs, the newest first, and the token of the next page; None after the last one."""

    runs: list[Run]
    next: str | None


class RunSource(Protocol):
    """A source of MLflow's runs."""

    def changed(self) -> bool:
        """Whether anything may have changed since the last call."""

    def page(self, token: str | None = None, *, running: bool = False) -> RunPage:
        """A page of the runs that are not deleted, or of the running ones."""

    def get(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """The runs with these ids that exist and are not deleted."""


def source_of(store: TrackingStore) -> RunSource:
    """The fastest source of the runs of a store."""
    database = store.connection.database
    if database is not None and database.writer is not None:
        return SqliteRuns(database.writer.path)
    return ClientRuns(store)


class ClientRuns:
    """Runs of any MLflow store, read through its client."""

    page_size = 200

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        self._experiments: dict[str, str] = {}

    def changed(self) -> bool:
        """Always True, since a server does not report changes."""
        return True

    def page(self, token: str | None = None, *, running: bool = False) -> RunPage:
        """See :class:`RunSource`."""
        with self._store.connection.calls() as client:
            if token is None:
                self._experiments = self._names(client)
            if not self._experiments:
                return RunPage([], None)
            found = client.search_runs(
                list(self._experiments),
                "attributes.status = 'RUNNING'" if running else "",
                order_by=["attributes.start_time DESC"],
                max_results=self.page_size,
                page_token=token,
            )
        return RunPage([self._run(run) for run in found], found.token or None)

    def get(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """See :class:`RunSource`."""
        found = {}
        for run_id in run_ids:
            with contextlib.suppress(NotFound), self._store.connection.calls() as client:
                run = client.get_run(run_id)
                if run.info.lifecycle_stage == "active":
                    if run.info.experiment_id not in self._experiments:
                        self._experiments = self._names(client)
                    found[run_id] = self._run(run)
        return found

    def _names(self, client: MlflowClient) -> dict[str, str]:
        experiments = all_pages(partial(client.search_experiments, max_results=1000))
        return {experiment.experiment_id: experiment.name for experiment in experiments}

    def _run(self, found: Any) -> Run:
        info, data = found.info, found.data
        return as_run(
            info.run_id, info.run_name or "", info.status, info.start_time or 0, info.end_time or 0,
            self._experiments.get(info.experiment_id, info.experiment_id), dict(data.params), dict(data.metrics),
            dict(data.tags),
        )  # fmt: skip


class SqliteRuns:
    """Runs in an SQLite file of a known schema, read without an object for each value.

    Parameters
    ----------
    path : Path
        MLflow's database.
    """

    page_size = 2000
    _COLUMNS = (
        "SELECT r.run_uuid, r.name, r.status, r.start_time, r.end_time, e.name FROM runs r"
        " JOIN experiments e ON e.experiment_id = r.experiment_id WHERE r.lifecycle_stage = 'active'"
        " AND e.lifecycle_stage = 'active'"
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = -1

    def changed(self) -> bool:
        """Whether another connection of any process has written since the last call."""
        version = int(self._query("PRAGMA data_version")[0][0])
        same, self._version = version == self._version, version
        return not same

    def page(self, token: str | None = None, *, running: bool = False) -> RunPage:
        """See :class:`RunSource`."""
        where, values = (" AND r.status = 'RUNNING'", ()) if running else ("", ())
        if token:
            start, _, run_id = token.partition(" ")
            where += " AND (coalesce(r.start_time, 0), r.run_uuid) < (?, ?)"
            values = (int(start), run_id)
        rows = self._query(
            f"{self._COLUMNS}{where} ORDER BY coalesce(r.start_time, 0) DESC, r.run_uuid DESC LIMIT {self.page_size}",
            values,
        )
        more = f"{rows[-1][3] or 0} {rows[-1][0]}" if len(rows) == self.page_size else None
        return RunPage(self._runs(rows), more)

    def get(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """See :class:`RunSource`."""
        rows = list(select_in(self._query, f"{self._COLUMNS} AND r.run_uuid IN ?", run_ids))
        return {run.run_id: run for run in self._runs(rows)}

    def _runs(self, rows: list[tuple[Any, ...]]) -> list[Run]:
        ids = [row[0] for row in rows]
        params, tags, metrics = (self._values(table, ids) for table in ("params", "tags", "latest_metrics"))
        return [
            as_run(
                run_id, name or "", status, start or 0, end or 0, experiment, params.get(run_id, {}),
                metrics.get(run_id, {}), tags.get(run_id, {}),
            )
            for run_id, name, status, start, end, experiment in rows
        ]  # fmt: skip

    def _values(self, table: str, ids: list[str]) -> dict[str, dict[str, Any]]:
        value = "CASE WHEN is_nan THEN NULL ELSE value END" if table == "latest_metrics" else "value"
        found: dict[str, dict[str, Any]] = {}
        sql = f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ?"
        for run_id, key, text in select_in(self._query, sql, ids):
            found.setdefault(run_id, {})[key] = math.nan if text is None else text
        return found

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = connect_read_only(self._path, timeout=20)
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise Unavailable(f"the tracking database does not answer: {error}", where=str(self._path)) from error

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _resources(tags: dict[str, str]) -> dict[str, float]:
    """Use of resources of a run that MLflow code started, which has no metrics of it."""
    found = {}
    for key, text in tags.items():
        if key.startswith(_RESOURCES):
            with contextlib.suppress(ValueError):
                found[key.removeprefix(METRIC_PREFIX)] = float(text)
    return found


def as_run(
    run_id: str,
    name: str,
    status: str,
    start_ms: int,
    end_ms: int,
    experiment: str,
    params: dict[str, str],
    metrics: dict[str, float],
    tags: dict[str, str],
) -> Run:
    """A run of MLflow, with all its tags; its uid is that of the workbench that wrote it, or MLflow's id."""
    metrics = {**_resources(tags), **metrics}
    known: RunStatus = status if status in get_args(RunStatus) else "RUNNING"
    return Run(
        uid=tags.get(RUN_UID) or run_id,
        run_id=run_id,
        experiment=experiment,
        name=name,
        kind=tags.get(KIND, "run"),
        status=known,
        start_ms=start_ms,
        end_ms=end_ms,
        # May be MLflow's id of the parent; `put_followed` replaces it by the uid.
        parent_uid=tags.get(PARENT_UID) or tags.get(PARENT_RUN_ID, ""),
        notebook=tags.get(NOTEBOOK, ""),
        params=params,
        metrics={
            key: value if abs(value) < MAX_FLOAT else indexed_value(value).shown for key, value in metrics.items()
        },
        tags=tags,
        error=tags.get(ERROR, ""),
        origin="mlflow",
        user=tags.get(USER, ""),
    )
