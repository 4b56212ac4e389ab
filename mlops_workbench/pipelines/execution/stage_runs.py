"""Runs in the tracking store that a run of a pipeline or a notebook has: its own, and those of its stages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import RunStart
from mlops_workbench.core.tags import ATTEMPT, INPUT_PREFIX, PIPELINE, PIPELINE_RUN, REASON, STAGE
from mlops_workbench.pipelines.execution.choice import Choice
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest

log = logging.getLogger("mlops_workbench.pipelines")


class StageRuns:
    """Starts the runs, or takes up those that an earlier runner has left.

    Parameters
    ----------
    session : Session
        Records them.
    folder : RunFolder
        Folder of the run.
    request : RunRequest
        Its request.
    parent_uid : str
        Run that this one belongs to, empty for none.
    """

    def __init__(self, session: Session, folder: RunFolder, request: RunRequest, parent_uid: str) -> None:
        self._session = session
        self._folder = folder
        self._request = request
        self._parent_uid = parent_uid
        self._pipeline_uid = ""

    def of_pipeline(self, uid: str) -> ActiveRun:
        """The run of the pipeline, to which those of its stages belong."""
        request = self._request
        self._pipeline_uid = uid
        run = self._session.begin(
            RunStart(
                uid,
                request.name or request.pipeline,
                request.experiment,
                now_ms(),
                kind="pipeline",
                parent_uid=self._parent_uid,
                tags={PIPELINE: request.pipeline, PIPELINE_RUN: request.id, REASON: request.reason},
            )
        )
        run.log_params(dict(request.params))
        if self._folder.spec.exists():
            run.log_artifact(self._folder.spec, f"{request.pipeline}.yaml", kind="code", media_type="application/yaml")
        return run

    def of_attempt(self, uid: str, stage: StageRequest, number: int, choices: Mapping[str, Choice]) -> ActiveRun:
        """The run of an attempt at a stage."""
        request, inside = self._request, bool(self._pipeline_uid)
        tags = {PIPELINE_RUN: request.id}
        tags |= {PIPELINE: request.pipeline, STAGE: stage.name} if inside else {REASON: request.reason}
        tags |= {f"{INPUT_PREFIX}{name}": entry.source for name, entry in stage.inputs.items()}
        for name, choice in choices.items():
            output = stage.inputs[name].source.rpartition(".")[2]
            tags[f"{INPUT_PREFIX}{name}"] = f"{choice.instance}.{output} ({choice.reason})"
        run = self._session.begin(
            RunStart(
                uid,
                ("" if inside else request.name) or stage.name,
                request.experiment,
                now_ms(),
                kind="stage" if inside else "notebook",
                parent_uid=self._pipeline_uid or self._parent_uid,
                notebook=stage.source,
                tags=tags | ({ATTEMPT: str(number)} if number > 1 else {}),
            )
        )
        run.log_params(dict(stage.params))
        return run

    def keep_notebook(self, run: ActiveRun, stage: StageRequest, number: int) -> None:
        """Keep the executed notebook of an attempt with its run, and where a user wants it, too."""
        executed = self._folder.executed(stage.name, number)
        if not executed.exists():
            return
        run.log_artifact(
            executed, f"notebook/{stage.name}.ipynb", kind="notebook", media_type="application/x-ipynb+json"
        )
        if self._request.output:
            try:
                write_atomic(Path(self._request.output), executed.read_bytes())
            except (OSError, StorageError) as error:
                # The notebook is kept with the run all the same.
                log.warning("the executed notebook cannot be written to %s: %s", self._request.output, error)
