"""Runs and their data, read from the index after the journals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunArtifact, RunDetail
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, ReadIndex

_DELIVERY_SECONDS = 120.0
_PATIENCE_SECONDS = 10.0


class RunService:
    """Reads runs; each call first reads the journals, so that a client sees what it has just logged."""

    def __init__(self, workspace: Workspace, ingest: Ingest) -> None:
        self._blobs = workspace.blobs
        self._ingest = ingest

    def experiments(self) -> list[Experiment]:
        """Experiments; the one with the newest run comes first."""
        return self._index().experiments()

    def runs(self, experiment: str | None, **query: Any) -> list[Run]:
        """Runs, see :meth:`ReadIndex.runs`."""
        return self._index().runs(experiment, **query)

    def find(self, reference: str, experiment: str | None = None) -> Run:
        """A run by uid, start of a uid, MLflow id, or the newest run with this name."""
        return self._index().find(reference, experiment)

    def detail(self, reference: str, experiment: str | None = None) -> RunDetail:
        """Everything about a run."""
        return self._ingest.detail(self.find(reference, experiment).uid)

    def history(self, reference: str, metric: str, max_points: int | None) -> list[MetricPoint]:
        """Points of a metric in order of steps: all, or about `max_points` evenly spread."""
        return self._ingest.history(self.find(reference).uid, metric, max_points)

    def artifact(self, reference: str, path: str) -> tuple[RunArtifact, Path]:
        """An artifact of a run, and the file with its content."""
        artifact = self._ingest.index.artifact(self._ingest.index.find(reference).uid, path)
        return artifact, self._blobs.get(artifact.digest)

    def deliver(self, uid: str) -> None:
        """Wait until everything about a run is in MLflow; raises Unavailable after a timeout."""
        self._ingest.drain(uid, _DELIVERY_SECONDS, _PATIENCE_SECONDS)

    def datasets(self, reference: str) -> list[DatasetVersion]:
        """Data that a run used, with profiles; training data comes first."""
        return self._ingest.index.datasets(self.find(reference).uid)

    def dataset_uses(self, digest: str) -> list[DatasetVersion]:
        """Runs that used a version of data, newest first; `digest` may be abbreviated."""
        return self._index().dataset_versions(digest)

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

    def _index(self) -> ReadIndex:
        self._ingest.catch_up()
        return self._ingest.index
