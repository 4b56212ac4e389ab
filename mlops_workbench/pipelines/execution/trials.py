"""The runs that are the trials of a sweep: each is planned and written like a run of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.pipelines import Scalar
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import read_notebook
from mlops_workbench.notebooks.parameters.check import Declared
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import PipelineSpec, ResourceSpec
from mlops_workbench.pipelines.execution.launch import check_capacity, write_run
from mlops_workbench.pipelines.execution.notebook_run import NotebookOptions, plan_notebook, write_notebook_run
from mlops_workbench.pipelines.plan.files import matching_files, notebook_facts
from mlops_workbench.pipelines.plan.make import make_plan
from mlops_workbench.pipelines.plan.nouns import NotebookFacts, Plan, StagePlan
from mlops_workbench.pipelines.plan.planned import check_secrets
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.sweeps.parse import read_space
from mlops_workbench.pipelines.sweeps.space import Choices, Space
from mlops_workbench.pipelines.sweeps.stored import StoredSweep

if TYPE_CHECKING:
    from nbformat import NotebookNode


class TrialPlanner:
    """Plans the trials of a sweep; each notebook is read once.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the sweep.
    sweep : StoredSweep
        The sweep.
    folder : RunFolder
        Its folder, with the copies of its sources.
    """

    def __init__(self, workspace: Workspace, sweep: StoredSweep, folder: RunFolder) -> None:
        self._workspace = workspace
        self._sweep = sweep
        self._folder = folder
        self._read: dict[Path, NotebookNode] = {}

    @cached_property
    def spec(self) -> PipelineSpec | None:
        """The spec of a pipeline, which publishes nothing; raises SpecError."""
        if not self._sweep.spec:
            return None
        path = Path(self._sweep.spec)
        return dataclasses.replace(parse_spec(self._copy(path).read_text(encoding="utf-8"), path), publish=None)

    @cached_property
    def notebooks(self) -> dict[str, NotebookFacts | WorkbenchError]:
        """The notebooks by their paths in the spec, or the only one by its absolute path."""
        if self.spec is None:
            return {self._sweep.request.notebook: self._facts(Path(self._sweep.request.notebook))}
        here = self.spec.path.parent
        return {
            name: self._facts(_absolute(here / name))
            for name in {stage.notebook for stage in self.spec.stages.values()}
        }

    @property
    def paths(self) -> list[Path]:
        """Files that the trials are planned from."""
        if self.spec is None:
            return [Path(self._sweep.request.notebook)]
        return [self.spec.path, *(_absolute(self.spec.path.parent / name) for name in sorted(self.notebooks))]

    @cached_property
    def space(self) -> Space:
        """What is varied; raises InvalidInput, and NotFound without the notebook."""
        request = self._sweep.request
        budget, _, given = request.budget.partition("=")
        texts = request.texts | ({budget.strip(): given} if given else {})
        params = {name: value for name, value in request.params.items() if name not in texts}
        parameters: Mapping[str, Declared] = self.spec.params if self.spec else self._notebook().parameters
        owner = f"pipeline '{self.spec.name}'" if self.spec else f"notebook '{Path(request.notebook).name}'"
        return read_space(parameters, params, texts, owner)

    @property
    def first_need(self) -> ResourceSpec:
        """What a trial needs to begin."""
        return next(iter(self.spec.stages.values())).resources if self.spec else ResourceSpec()

    def values(self, params: Mapping[str, Scalar]) -> dict[str, object]:
        """The values of a trial from its `params` in the log."""
        found: dict[str, object] = dict(params)
        for name, dimension in self.space.dimensions.items():
            if isinstance(dimension, Choices) and name in params:
                found[name] = next(value for value in dimension.values if shown(value) == params[name])
        return found

    def plan(self, folder: RunFolder, values: Mapping[str, object]) -> Plan | StagePlan:
        """Plan a trial; raises what starting a run with these values would raise."""
        given = {**self.space.fixed, **values}
        if self.spec is None:
            stage = plan_notebook(self._notebook(), self._options(given))
            check_secrets([stage])
            return stage
        here = self.spec.path.parent
        plan = make_plan(self.spec, self.notebooks, lambda path: matching_files(here, path), folder.outputs, given)
        check_capacity(self._workspace, plan)
        check_secrets(plan.stages)
        return plan

    def write(self, folder: RunFolder, values: Mapping[str, object], number: int) -> None:
        """Plan a trial and write its run to its folder; raises what starting such a run would raise."""
        plan = self.plan(folder, values)
        reason = f"sweep:{self._folder.path.name}"
        if isinstance(plan, StagePlan):
            options = self._options({**self.space.fixed, **values}, number)
            write_notebook_run(self._workspace, folder, plan, options, reason, read=self._notebook_node)
        else:
            write_run(self._workspace, folder, plan, reason, self._sweep.champion, read=self._notebook_node)

    def _options(self, given: dict[str, object], number: int = 0) -> NotebookOptions:
        request = self._sweep.request
        name = request.name or Path(request.notebook).stem
        return NotebookOptions(
            params=given,
            secrets=request.secrets,
            name=f"{name}-{number}" if number else name,
            experiment=request.experiment,
            timeout=request.timeout,
        )

    def _notebook(self) -> NotebookFacts:
        (found,) = self.notebooks.values()
        if isinstance(found, WorkbenchError):
            raise found
        return found

    def _facts(self, path: Path) -> NotebookFacts | WorkbenchError:
        found = notebook_facts(self._copy(path))
        return found if isinstance(found, WorkbenchError) else dataclasses.replace(found, path=path)

    def _notebook_node(self, path: Path) -> Any:
        if path not in self._read:
            self._read[path] = read_notebook(self._copy(path))
        return self._read[path]

    def _copy(self, path: Path) -> Path:
        copy = self._sweep.sources.get(str(path))
        return path if copy is None else self._folder.path / copy


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
