"""Results of stages in a run: looked up before a stage runs, and kept after it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Number
from mlops_workbench.core.wire.json_numbers import json_number, real_number
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import Owner, StageKey, StageResult
from mlops_workbench.pipelines.cache.outputs import DamagedOutput
from mlops_workbench.pipelines.cache.stage_cache import Found, StageCache
from mlops_workbench.pipelines.execution.attempts import Attempt, kept_file
from mlops_workbench.pipelines.execution.choice import Choice
from mlops_workbench.pipelines.execution.stage_keys import Cells, NotCached, read_cells, stage_key
from mlops_workbench.pipelines.execution.verdict import lacking
from mlops_workbench.pipelines.runs.folder import RunFolder, read_struct
from mlops_workbench.pipelines.runs.requests import StageRequest
from mlops_workbench.pipelines.stages.kept import Kept, notes_on

#: Why a stage runs that must not be taken from the cache.
FORCED = "it is to run in any case"

log = logging.getLogger("mlops_workbench.pipelines")


@dataclass(frozen=True)
class LookedUp:
    """A look-up of a stage: its key, None if it has none, and what was found."""

    key: StageKey | None
    found: Found


@dataclass(frozen=True)
class Taken:
    """A result that was taken from the cache, its metrics, and what has changed since for one taken in any case."""

    result: StageResult
    metrics: dict[str, Number]
    changes: list[str]


class Reuse:
    """The cache as the stages of a pipeline use it.

    Parameters
    ----------
    workspace : Workspace
        Its workspace.
    folder : RunFolder
        Folder of the run; the outputs and copies of the stages belong to it.
    pipeline : str
        Name of the pipeline.
    spec : str
        Path of its spec.
    """

    def __init__(self, workspace: Workspace, folder: RunFolder, pipeline: str, spec: str) -> None:
        self._workspace = workspace
        self._folder = folder
        self._pipeline = pipeline
        self._spec = spec
        self._cache = StageCache(workspace)

    def look_up(
        self,
        stage: StageRequest,
        chosen: Mapping[str, str],
        *,
        cells: Cells | None = None,
        made: Callable[[str], str | None] | None = None,
    ) -> LookedUp:
        """Look a stage up.

        Parameters
        ----------
        stage : StageRequest
            The stage.
        chosen : mapping
            Its inputs with a choice, to the chosen files.
        cells : sequence of mapping, optional
            Cells of the copy that would run; by default they are read from the folder of the run.
        made : callable, optional
            Returns the digest that an output of another stage will have, None if a path is none.
        """
        if stage.reuse == "never":
            return LookedUp(None, Found(None, [FORCED]))
        looked_up = self._look_up(stage, chosen, cells, made)
        if looked_up.found.result is None and stage.reuse == "always":
            looked_up = LookedUp(None, Found(self._cache.newest(self._owner(stage)), looked_up.found.reasons))
        self._save_digests()
        return looked_up

    def _look_up(
        self,
        stage: StageRequest,
        chosen: Mapping[str, str],
        cells: Cells | None,
        made: Callable[[str], str | None] | None,
    ) -> LookedUp:
        if not stage.cache.enabled:
            return LookedUp(None, Found(None, ["its spec says 'cache: false'"]))
        try:
            key = self.key(stage, chosen, cells=cells, made=made)
        except NotCached as error:
            return LookedUp(None, Found(None, [str(error)]))
        cache = stage.cache
        found = self._cache.find(
            key, Path(stage.source), self._owner(stage), ignore=cache.ignore, ttl=cache.ttl, now_ms=now_ms()
        )
        return LookedUp(key, found)

    def key(
        self,
        stage: StageRequest,
        chosen: Mapping[str, str],
        *,
        cells: Cells | None = None,
        made: Callable[[str], str | None] | None = None,
    ) -> StageKey:
        """Return the key of a stage; see `look_up`.

        Raises
        ------
        NotCached
            It has none.
        """
        inputs = {name: msgspec.structs.replace(stage.inputs[name], files=[path]) for name, path in chosen.items()}
        stage = msgspec.structs.replace(stage, inputs={**stage.inputs, **inputs})

        def digest(path: str) -> str:
            return (made(path) if made is not None else None) or self._cache.digests.of(path)

        try:
            cells = read_cells(self._folder.copy(stage.name)) if cells is None else cells
        except StorageError as error:
            raise NotCached(error.message) from error
        outputs = self._folder.outputs(stage.name)
        return stage_key(self._workspace, stage, cells, outputs, digest, os.environ)

    def take(self, stage: StageRequest, choices: Mapping[str, Choice]) -> Taken | None:
        """Write outputs and notebook of a result that holds into the folder of the run; None if there is none."""
        if stage.reuse != "always" and (stage.reuse == "never" or not stage.cache.enabled):
            return None
        looked_up = self.look_up(stage, _paths(choices))
        result = looked_up.found.result
        if result is None or result.outputs.keys() != stage.outputs.keys():
            return None
        metrics = {name: real_number(value) for name, value in result.metrics.items()}
        if lacking(stage.metrics, metrics):
            return None
        try:
            self._cache.restore(result, {name: entry.path for name, entry in stage.outputs.items()})
            self._cache.restore_notebook(result, self._folder.executed(stage.name, 1))
            if looked_up.key is not None:
                self._cache.used(looked_up.key, self._owner(stage))
        except (DamagedOutput, StorageError) as error:
            log.warning("the result of stage '%s' in the cache cannot be used: %s", stage.name, error)
            # Its first attempt makes this folder.
            shutil.rmtree(self._folder.attempt(stage.name, 1), ignore_errors=True)
            return None
        return Taken(result, metrics, looked_up.found.reasons)

    def begin(self, stage: StageRequest, choices: Mapping[str, Choice]) -> StageKey | None:
        """Return the key of a stage that begins to run, None if its result cannot be kept."""
        try:
            return self.key(stage, _paths(choices)) if stage.cache.enabled else None
        except NotCached:
            return None

    def keep(self, attempt: Attempt, metrics: Callable[[], Mapping[str, Number]]) -> list[str]:
        """Keep the result of an attempt that succeeded, and return what its user should know.

        Parameters
        ----------
        attempt : Attempt
            The attempt, which has ended.
        metrics : callable
            Returns the metrics of its run.
        """
        stage, key = attempt.stage, attempt.key
        try:
            kept = read_struct(kept_file(self._folder, stage, attempt.number), Kept)
        except (FileNotFoundError, StorageError):
            return []
        try:
            if key is not None and not kept.refusal and self.key(stage, _paths(attempt.choices)) != key:
                kept = msgspec.structs.replace(kept, refusal="an input was changed while it ran")
            elif key is not None and not kept.refusal:
                now = now_ms()
                result = StageResult(
                    reads=kept.reads,
                    outputs=kept.outputs,
                    metrics={name: json_number(value) for name, value in metrics().items()},
                    run_uid=attempt.run.uid,
                    run_id=self._folder.path.name,
                    notebook=kept.notebook,
                    ended_ms=now,
                    seconds=(now - attempt.started_ms) / 1000,
                )
                self._cache.keep(key, result, self._owner(stage))
            if kept.refusal:
                self._cache.refuse(self._owner(stage), kept.refusal)
        except (NotCached, WorkbenchError, OSError) as error:
            log.warning("the result of stage '%s' is not kept: %s", stage.name, error)
        self._save_digests()
        return notes_on(stage, kept, Path(self._spec))

    def _owner(self, stage: StageRequest) -> Owner:
        return (self._pipeline, stage.name)

    def _save_digests(self) -> None:
        try:
            self._cache.digests.save()
        except (StorageError, OSError) as error:
            log.warning("digests of files are not remembered: %s", error)


def _paths(choices: Mapping[str, Choice]) -> dict[str, str]:
    return {name: choice.path for name, choice in choices.items()}
