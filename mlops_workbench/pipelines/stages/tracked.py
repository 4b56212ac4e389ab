"""The run of a notebook that plain papermill executes with the workbench's engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.session.session import current_session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.shown.plain_text import without_sequences
from mlops_workbench.pipelines.cells.reasons import reason

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.pipelines.cells.record import ExecutionRecord


class TrackedRun:
    """A run whose cells a kernel records, and whose begin and end this process records.

    Trouble with the records is reported on stderr; it never fails the notebook.

    Parameters
    ----------
    run : ActiveRun
        The run.
    workspace : Path
        Folder of its workspace.
    """

    def __init__(self, run: ActiveRun, workspace: Path) -> None:
        self._run = run
        self._workspace = workspace

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a kernel that records into the run."""
        return {
            **os.environ,
            "MLOPS_WORKSPACE": str(self._workspace),
            "MLOPS_RUN_UID": self._run.uid,
            "MLOPS_EXPERIMENT": self._run.start.experiment,
        }

    def end(self, record: ExecutionRecord, error: BaseException | None = None) -> None:
        """Keep the executed notebook with the run, and end it.

        Parameters
        ----------
        record : ExecutionRecord
            What became of the notebook.
        error : BaseException, optional
            What ended the execution outside of the cells.
        """
        _reported("the executed notebook", lambda: self._keep(record))
        failure = record.failure
        if failure is None and error is None:
            self._run.end("FINISHED")
        elif isinstance(error, KeyboardInterrupt):
            self._run.end("KILLED", error="interrupted")
        elif failure is not None:
            self._run.end(
                "FAILED",
                error=f"cell {failure.cell + 1}: {reason(failure.name, failure.value)}",
                traceback=without_sequences("\n".join(failure.traceback)),
            )
        else:
            self._run.end("FAILED", error=error)

    def _keep(self, record: ExecutionRecord) -> None:
        self._run.log_artifact(
            record.text().encode(), f"notebook/{self._run.start.name}.ipynb", kind="notebook",
            media_type="application/x-ipynb+json",
        )  # fmt: skip


def track_run(notebook: Any, source: object) -> TrackedRun | None:
    """Start the run of a notebook.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook, with papermill's metadata.
    source : object
        Its path, as papermill got it.

    Returns
    -------
    TrackedRun or None
        None if it cannot be recorded, which is reported.
    """
    path = Path(source).absolute() if isinstance(source, str) and "://" not in source and source != "-" else None
    papermill = notebook.metadata.get("papermill", {})

    def start() -> TrackedRun:
        session = current_session()
        workspace = session.workspace
        around = session.current_run()
        run = session.start_run(
            path.stem if path else "notebook",
            kind="notebook",
            parent_uid=around.uid if around else "",
            notebook=str(path or source or ""),
            ambient=False,
        )
        tracked = TrackedRun(run, workspace.root)
        _reported("the parameters", lambda: run.log_params(dict(papermill.get("parameters", {}))))
        return tracked

    return _reported("the run", start)


def _reported(what: str, record: Callable[[], Any]) -> Any:
    try:
        return record()
    except (WorkbenchError, OSError) as error:
        notify(f"{what} could not be recorded: {error}\n  the notebook itself is not affected")
        return None
