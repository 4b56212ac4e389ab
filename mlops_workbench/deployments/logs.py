"""Keeps the logs of all endpoints compact, of running, stopped and removed ones."""

from __future__ import annotations

import logging
from pathlib import Path

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.desired import JOURNAL

log = logging.getLogger("mlops_workbench.deployments")


class EndpointLogs:
    """Compacts the predictions and the feedback of a workspace.

    It is done here and not by the endpoints: requests share no processor time with it as they would within a process,
    and the log of an endpoint that does not run is compacted too.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._logs: dict[str, _EndpointLog] = {}

    def step(self) -> None:
        """Compact what is worth it.

        Raises
        ------
        StorageError
            A log cannot be compacted; those of other endpoints were.
        """
        names = {path.name for root in self._roots for path in root.glob("endpoint=*") if path.is_dir()}
        if not names:
            return
        for name in self._logs.keys() - names:
            del self._logs[name]
        problem: WorkbenchError | None = None
        for name in sorted(names):
            try:
                self._log(name).step(self._workspace.settings.serving.log_rows)
            except WorkbenchError as error:
                problem = error
        if problem is not None:
            raise problem

    @property
    def _roots(self) -> tuple[Path, Path]:
        return self._workspace.predictions, self._workspace.feedback

    def _log(self, name: str) -> _EndpointLog:
        if name not in self._logs:
            predictions, feedback = (root / name for root in self._roots)
            self._logs[name] = _EndpointLog(predictions, feedback)
        return self._logs[name]


class _EndpointLog:
    """The logs of one endpoint."""

    def __init__(self, predictions: Path, feedback: Path) -> None:
        # Imported here, since Arrow takes long to import and is not needed without an endpoint.
        from mlops_workbench.serving.log.asked import AskedRows
        from mlops_workbench.serving.log.compaction import Compactor
        from mlops_workbench.serving.log.kinds import FeedbackFiles, PredictionFiles

        self._predictions = predictions
        self._compactors = (
            Compactor(predictions, PredictionFiles()),
            Compactor(feedback, FeedbackFiles(AskedRows(predictions))),
        )

    def step(self, rows: int) -> None:
        import pyarrow as pa

        from mlops_workbench.serving.log.compaction import lower_priority
        from mlops_workbench.serving.log.predictions import recover

        lower_priority()
        if (self._predictions / JOURNAL).is_dir():
            recover(self._predictions, rows)
        for compactor in self._compactors:
            try:
                if replaced := compactor.step():
                    log.info("%d files of %s are compacted", replaced, compactor.folder)
            except (OSError, pa.ArrowException) as error:
                raise StorageError(
                    f"the log cannot be compacted: {error}",
                    where=str(compactor.folder),
                    hint="check the free space and the permissions; reading the log is slower until then",
                ) from error
