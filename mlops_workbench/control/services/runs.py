"""Runs and their data, read from the index after the journals."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound, Unavailable, WorkbenchError
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunArtifact, RunDetail
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
from mlops_workbench.tracking.index.datasets import DataVersion

_DELIVERY_SECONDS = 120.0
_PATIENCE_SECONDS = 10.0
#: Seconds to wait for a run that is not in the index while the index is catching up.
_FIND_SECONDS = 10.0


class RunService:
    """Reads runs of the index, which :meth:`catch_up` brings up to date for a limited time."""

    def __init__(self, workspace: Workspace, ingest: Ingest) -> None:
        self._blobs = workspace.blobs
        self._state = workspace.state
        self._ingest = ingest

    def catch_up(self) -> bool:
        """Read what was just logged; False if there is more than can be read before an answer is due.

        On a disk that takes no more, what was read before is the answer; the status has the reason.
        """
        try:
            return self._ingest.catch_up()
        except (WorkbenchError, sqlite3.Error, OSError) as error:
            if disk_error(error, self._state) is None:
                raise
            return False

    def experiments(self) -> list[Experiment]:
        """Experiments; the one with the newest run comes first."""
        return self._ingest.index.experiments()

    def runs(self, experiment: str | None, **query: Any) -> list[Run]:
        """Runs, see :meth:`ReadIndex.runs`."""
        return self._ingest.index.runs(experiment, **query)

    def find(self, reference: str, experiment: str | None = None, *, newest: bool = True) -> Run:
        """A run by uid, start or end of a uid, MLflow id, or the newest run with this name.

        While the index is catching up, a run that it does not have is waited for; with `newest`, so is a newer run
        of the same name.

        Raises
        ------
        NotFound
            There is no such run.
        Unavailable
            The index was still catching up after 10 s.
        """
        deadline = time.monotonic() + _FIND_SECONDS
        current = False
        while True:
            missing: NotFound | None = None
            try:
                run = self._ingest.index.find(reference, experiment)
                if current or not newest or reference in (run.uid, run.run_id):
                    return run
            except NotFound as error:
                if current:
                    raise
                missing = error
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the newest runs are still being read, and '{reference}' may be among them",
                    hint="try again, or give the id of the run; 'mlops status' shows when they are read",
                ) from missing
            try:
                current = self._ingest.catch_up()
            except (WorkbenchError, sqlite3.Error, OSError) as error:
                if missing is None and disk_error(error, self._state) is not None:
                    return run
                raise

    def detail(self, reference: str, experiment: str | None = None) -> RunDetail:
        """Everything about a run."""
        return self._ingest.detail(self._shown(reference, experiment).uid)

    def history(self, reference: str, metric: str, max_points: int | None) -> list[MetricPoint]:
        """Points of a metric in order of steps: all, or about `max_points` evenly spread."""
        return self._ingest.history(self._shown(reference).uid, metric, max_points)

    def artifact(self, reference: str, path: str) -> tuple[RunArtifact, Path]:
        """An artifact of a run, and the file with its content."""
        run = self._shown(reference)
        artifact = self._ingest.index.artifact(run.uid, path)
        try:
            return artifact, self._blobs.get(artifact.digest)
        except NotFound as error:
            raise NotFound(
                f"the file is not on this machine any more: {error.message}",
                where=path,
                hint=f"'mlops clean' shows the rule that removes files; MLflow's run {run.run_id} has a copy of it",
            ) from error

    def deliver(self, uid: str) -> None:
        """Wait until everything about a run is in MLflow; raises Unavailable after a timeout."""
        self._ingest.drain(uid, _DELIVERY_SECONDS, _PATIENCE_SECONDS)

    def has_backlog(self) -> bool:
        """Whether something in the journals is not in MLflow yet."""
        return bool(self._ingest.status().backlog_bytes)

    def datasets(self, reference: str) -> list[DatasetVersion]:
        """Data that a run used, with profiles; training data comes first."""
        return self._ingest.index.datasets(self._shown(reference).uid)

    def dataset_uses(self, digest: str) -> list[DatasetVersion]:
        """Runs that used a version of data, newest first; `digest` may be abbreviated."""
        return self._ingest.index.dataset_versions(digest)

    def data_versions(self, name: str) -> list[DataVersion]:
        """Versions of the data that runs recorded under a name, oldest first."""
        return self._ingest.index.data_versions(name)

    def snapshot(self, digest: str) -> Path:
        """Parquet file with a version of data; raises NotFound if no snapshot was kept."""
        for version in self.dataset_uses(digest):
            if version.snapshot:
                return self._blobs.get(version.snapshot)
        raise NotFound(
            f"no snapshot was kept of the data '{digest}'",
            hint='log_dataset(..., snapshot=True), or snapshot = "training" in the [capture] section of workbench.toml',
        )

    def schema(self, digest: str) -> Path:
        """File with the pandera schema of a version of data; raises NotFound if none was inferred."""
        for version in self.dataset_uses(digest):
            if version.schema:
                return self._blobs.get(version.schema)
        raise NotFound(f"no schema was inferred from the data '{digest}'", hint="only training data has one")

    def _shown(self, reference: str, experiment: str | None = None) -> Run:
        # A page shows what there is, and is marked as catching up; an action must not take an older run.
        return self.find(reference, experiment, newest=False)
