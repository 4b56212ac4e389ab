"""The read index: lists, searches and details of runs in milliseconds, without MLflow."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, did_you_mean
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.records import CellExecuted, Model
from mlops_workbench.core.runs import (
    Experiment,
    MetricPoint,
    Run,
    RunArtifact,
    RunCell,
    RunDataset,
    RunDetail,
    RunModel,
)
from mlops_workbench.core.tags import MODEL_PREFIX, shown_tags
from mlops_workbench.tracking.index import datasets as data
from mlops_workbench.tracking.index.filter import parse_filter
from mlops_workbench.tracking.index.history import history, points_of
from mlops_workbench.tracking.index.schema import REBUILD_HINT, connect
from mlops_workbench.tracking.index.search import (
    NOT_NESTED,
    RUN_COLUMNS,
    clause,
    column_clause,
    kind_clause,
    search,
)
from mlops_workbench.tracking.journals.files import SELECT_CURSORS, Cursor, cursors_of
from mlops_workbench.tracking.mapping.models import model_uid
from mlops_workbench.tracking.sqlite import ReplaceableFile, select_in

#: Points on the page of a run: of one metric, and of all its metrics together.
PAGE_POINTS, _ALL_PAGE_POINTS = 1000, 40_000
_MIN_PREFIX = 6


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run logged: its journal record and MLflow's id, empty until it is delivered."""

    uid: str
    record: Model
    model_id: str


class ReadIndex:
    """Read side of the index; usable by any number of threads and processes.

    Parameters
    ----------
    path : Path
        Index file; created when missing, and may be deleted at any time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def runs(
        self,
        experiment: str | None = None,
        *,
        name: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        order_by: str = "start",
        descending: bool = True,
        limit: int = 100,
        offset: int = 0,
        parent: str | None = None,
        filter: str | None = None,
        nested: bool = True,
    ) -> list[Run]:
        """Runs in order; those without the value they are ordered by come last.

        Parameters
        ----------
        experiment, name, status, kind : str, optional
            Only runs with this experiment, name, status or kind; a ``run`` may be a whole ``notebook``, too.
        order_by : str
            ``start end name status experiment duration`` or another attribute, ``metrics.<name>``,
            ``params.<name>`` (numbers before text) or ``tags.<name>``.
        descending : bool
            Highest first.
        limit, offset : int
            Number of runs to return, and to skip.
        parent : str, optional
            Only children of this run; an empty string gives runs without a parent.
        filter : str, optional
            A filter of MLflow's language, for example ``metrics.auc > 0.8 and params.depth = 6``; see
            :mod:`mlops_workbench.tracking.index.filter`.
        nested : bool
            Whether to include runs that are part of another run, such as the candidates of a search.

        Raises
        ------
        InvalidInput
            `order_by` or `filter` is not valid.
        """
        columns = {"experiment": experiment, "name": name, "status": status, "parent_uid": parent}
        clauses = [column_clause(column, value) for column, value in columns.items() if value is not None]
        if kind is not None:
            clauses.append(kind_clause(kind))
        clauses += [clause(condition) for condition in parse_filter(filter or "")]
        if not nested:
            clauses.append(NOT_NESTED)
        rows = search(self._query, clauses, order_by, descending=descending, limit=limit, offset=offset)
        return self._with_values(rows)

    def find(self, ref: str, experiment: str | None = None) -> Run:
        """The run with this id, else the newest with this name, else the one whose id begins or ends with `ref`.

        Both ids are looked at: the uid and MLflow's.

        Raises
        ------
        NotFound
            There is no such run; the hint names the nearest.
        InvalidInput
            `ref` is the beginning or the end of more than one id.
        """
        within, more = (" AND r.experiment = ?", (experiment,)) if experiment else ("", ())
        select = f"SELECT {RUN_COLUMNS} FROM runs r WHERE r.started = 1"
        rows = (
            self._query(f"{select} AND r.uid = ?", (ref,))
            or self._query(f"{select} AND r.run_id = ? AND r.run_id <> ''", (ref,))
            or self._query(
                f"{select} AND r.name = ?{within} ORDER BY r.start_ms DESC, r.uid DESC LIMIT 1", (ref, *more)
            )
        )
        if not rows and len(ref) >= _MIN_PREFIX:
            part = ref.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            like = " OR ".join(f"r.{column} LIKE ? ESCAPE '\\'" for column in ("uid", "run_id") for _ in range(2))
            rows = self._query(f"{select} AND ({like}) LIMIT 2", (f"{part}%", f"%{part}") * 2)
            if len(rows) > 1:
                hint = "give more digits of its id, or its name"
                raise InvalidInput(f"more than one run id begins or ends with '{ref}'", hint=hint)
        if not rows:
            names = self._query(
                f"SELECT DISTINCT r.name FROM runs r WHERE r.started = 1{within} ORDER BY r.start_ms DESC LIMIT 500",
                more,
            )
            where = f" in experiment '{experiment}'" if experiment else ""
            elsewhere = self._query("SELECT DISTINCT experiment FROM runs WHERE started = 1 AND name = ?", (ref,))
            hint = did_you_mean(ref, {name for (name,) in names if name})
            if found := ", ".join(sorted(f"'{name}'" for (name,) in elsewhere)):
                hint = f"it is in experiment {found}: switch to it with '%mlops experiment NAME', or give the run's id"
            raise NotFound(f"no run '{ref}'{where}", hint=hint)
        return self._with_values(rows)[0]

    def detail(self, uid: str) -> RunDetail:
        """Everything about a run.

        Raises
        ------
        NotFound
            No run has this uid.
        """
        run = self._run(uid)
        texts = self._query("SELECT source, output, traceback FROM run_texts WHERE uid = ?", (uid,))
        source, output, traceback = texts[0] if texts else ("", "", "")
        points = points_of(self._query, uid)
        shown = min(PAGE_POINTS, max(_ALL_PAGE_POINTS // max(len(points), 1), 20))
        return RunDetail(
            run=run,
            source=source,
            output=output,
            traceback=traceback,
            artifacts=self._artifacts(uid),
            models=self._models(uid),
            datasets=[
                RunDataset(*row)
                for row in self._query(
                    "SELECT d.name, context, digest, rows, columns, covers, snapshot, schema, coalesce(f.start_ms, 0)"
                    " FROM datasets d LEFT JOIN runs f ON f.uid ="
                    " (SELECT min(o.uid) FROM datasets o WHERE o.digest = d.digest)"
                    " WHERE d.uid = ? ORDER BY context, d.name",
                    (uid,),
                )
            ],
            history={name: history(self._query, uid, name, shown) for name in points},
            points=points,
            cells=self._cells(uid),
            warnings=self._warnings(uid),
            defaults=[name for (name,) in self._query("SELECT name FROM defaults WHERE uid = ? ORDER BY name", (uid,))],
            children=self.runs(parent=uid, descending=False, limit=1000),
        )

    def history(self, uid: str, name: str, max_points: int | None = None) -> list[MetricPoint]:
        """Points of a metric in order of step and time: all of them, or about `max_points` evenly spread.

        Raises
        ------
        NotFound
            The run does not exist, or has no such metric.
        """
        run = self._run(uid)
        if name not in run.metrics:
            raise NotFound(f"run '{run.name}' has no metric '{name}'", hint=did_you_mean(name, run.metrics))
        return history(self._query, uid, name, max_points)

    def _models(self, uid: str) -> list[RunModel]:
        own = "SELECT name, estimator, format, model_id FROM models WHERE uid = ? ORDER BY at_ms, rowid"
        # MLflow code logged these, and only MLflow knows more of them.
        others = "SELECT value, '', 'mlflow', substr(name, ?) FROM tags WHERE uid = ? AND name GLOB ? ORDER BY name"
        rows = self._query(own, (uid,)) + self._query(others, (len(MODEL_PREFIX) + 1, uid, f"{MODEL_PREFIX}*"))
        return [RunModel(*row) for row in rows]

    def _cells(self, uid: str) -> list[RunCell]:
        rows = self._query(
            "SELECT c.record FROM provenance p, json_each(p.cells) e JOIN cells c ON c.cell_uid = e.value"
            " WHERE p.uid = ? ORDER BY e.key",
            (uid,),
        )
        records = [msgspec.msgpack.decode(row[0], type=CellExecuted) for row in rows]
        return [
            RunCell(
                uid=record.uid,
                count=record.count,
                cell_id=record.cell_id,
                source=record.source,
                status=record.status,
                started_ms=record.started_ms,
                seconds=record.duration_us / 1e6,
                reads=record.reads,
                writes=record.writes,
            )
            for record in records
        ]

    def _warnings(self, uid: str) -> list[str]:
        rows = self._query("SELECT warnings FROM provenance WHERE uid = ?", (uid,))
        return list(msgspec.json.decode(rows[0][0])) if rows else []

    def experiments(self) -> list[Experiment]:
        """Experiments with their number of runs, the most recently used first."""
        rows = self._query(
            "SELECT experiment, count(*), max(start_ms) AS last FROM runs WHERE started = 1 GROUP BY experiment"
            " ORDER BY last DESC"
        )
        return [Experiment(*row) for row in rows]

    def artifact(self, uid: str, path: str) -> RunArtifact:
        """An artifact of a run.

        Raises
        ------
        NotFound
            The run, or an artifact of that path, does not exist.
        """
        run = self._run(uid)
        known = {artifact.path: artifact for artifact in self._artifacts(uid)}
        if path not in known:
            raise NotFound(f"run '{run.name}' has no artifact '{path}'", hint=did_you_mean(path, known))
        return known[path]

    def model(self, uid: str, name: str | None = None) -> LoggedModel:
        """A model that a run logged; without `name` the newest.

        Raises
        ------
        NotFound
            The run does not exist, or logged no such model.
        """
        run = self._run(uid)
        rows = self._query("SELECT name, record, model_id FROM models WHERE uid = ? ORDER BY at_ms, rowid", (uid,))
        chosen = [row for row in rows if name is None or row[0] == name]
        if not chosen:
            if name is not None and rows:
                raise NotFound(
                    f"run '{run.name}' logged no model '{name}'", hint=did_you_mean(name, {r[0] for r in rows})
                )
            raise NotFound(
                f"run '{run.name}' logged no model",
                hint="call log_model(model) in its cell, or run the cell again and register it in the same session",
            )
        return LoggedModel(uid, msgspec.msgpack.decode(chosen[-1][1], type=Model), chosen[-1][2])

    def model_by_uid(self, uid: str, key: str) -> LoggedModel:
        """The model of a run with this identity, see :func:`model_uid`; raises NotFound like :meth:`model`."""
        rows = self._query("SELECT record, model_id FROM models WHERE uid = ?", (uid,))
        for record, model_id in rows:
            model = msgspec.msgpack.decode(record, type=Model)
            if model_uid(model) == key:
                return LoggedModel(uid, model, model_id)
        raise NotFound(f"run '{uid}' logged no model {key}")

    def datasets(self, uid: str) -> list[DatasetVersion]:
        """Data that a run used, training data first."""
        return data.datasets_of_run(self._query, uid)

    def dataset_versions(self, digest: str) -> list[DatasetVersion]:
        """Uses of a version of data, newest first; see :func:`versions_of_digest`."""
        return data.versions_of_digest(self._query, digest)

    def dataset_uses(self, name: str) -> list[DatasetVersion]:
        """Uses of the data that runs recorded under a name, newest first."""
        return data.uses_of_name(self._query, name)

    def data_versions(self, name: str) -> list[data.DataVersion]:
        """Versions of the data that runs recorded under a name, oldest first."""
        return data.versions_of_name(self._query, name)

    def dataset_names(self) -> list[str]:
        """All names under which runs recorded data."""
        return data.names_of_data(self._query)

    def counts(self) -> dict[str, int]:
        """Numbers of runs, running runs, experiments and logged models."""
        row = self._query(
            "SELECT (SELECT count(*) FROM runs WHERE started=1),"
            " (SELECT count(*) FROM runs WHERE started=1 AND status='RUNNING'),"
            " (SELECT count(DISTINCT experiment) FROM runs WHERE started=1), (SELECT count(*) FROM models)"
        )[0]
        return dict(zip(("runs", "running", "experiments", "models"), row, strict=True))

    def revision(self) -> int:
        """A number that grows with every change; a new index starts again at 0."""
        return int(self._query("SELECT value FROM state WHERE name = 'revision'")[0][0])

    def changed_since(self, revision: int) -> list[tuple[str, str]]:
        """Changes after `revision`, as ``(topic, id)`` in order; all changes after a rebuild."""
        if revision > self.revision():
            revision = 0
        return self._query("SELECT topic, id FROM changes WHERE revision > ? ORDER BY revision, topic, id", (revision,))

    def cursors(self) -> dict[str, Cursor]:
        """How far each journal file was read."""
        return cursors_of(self._query(SELECT_CURSORS))

    def close(self) -> None:
        """Close this thread's connection."""
        self._file().close()

    def _file(self) -> ReplaceableFile:
        if not hasattr(self._local, "file"):
            self._local.file = ReplaceableFile(self.path, connect)
        file: ReplaceableFile = self._local.file
        return file

    def _run(self, uid: str) -> Run:
        rows = self._query(f"SELECT {RUN_COLUMNS} FROM runs r WHERE r.uid = ? AND r.started = 1", (uid,))
        if not rows:
            raise NotFound(f"no run '{uid}'")
        return self._with_values(rows)[0]

    def _artifacts(self, uid: str) -> list[RunArtifact]:
        return [
            RunArtifact(*row)
            for row in self._query(
                "SELECT path, size, media_type, kind, digest FROM artifacts WHERE uid = ? ORDER BY path", (uid,)
            )
        ]

    def _with_values(self, rows: Sequence[tuple[Any, ...]]) -> list[Run]:
        uids = [row[0] for row in rows]
        values: dict[str, dict[str, dict[str, Any]]] = {}
        for table in ("params", "metrics", "tags"):
            found = values[table] = {uid: {} for uid in uids}
            # A metric that is not a finite number has its value as text.
            shown = "coalesce(text, value)" if table == "metrics" else "value"
            sql = f"SELECT uid, name, {shown} FROM {table} WHERE uid IN ? ORDER BY uid, name"
            for uid, name, value in select_in(self._query, sql, uids):
                found[uid][name] = value
        runs = [
            Run(*row[:10], *(values[table][row[0]] for table in ("params", "metrics", "tags")), *row[10:])
            for row in rows
        ]
        return [replace(run, tags=shown_tags(run.tags)) if run.origin == "mlflow" else run for run in runs]

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        for again in (True, False):
            try:
                return self._file().connection().execute(sql, values).fetchall()
            except sqlite3.Error as error:
                # The file may have been replaced since it was checked.
                self.close()
                if not again:
                    raise disk_error(error, self.path.parent) or StorageError(
                        f"cannot query the read index: {error}", where=str(self.path), hint=REBUILD_HINT
                    ) from error
        raise AssertionError("unreachable")
