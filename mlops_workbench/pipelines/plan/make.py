"""Checks a spec against its notebooks and plans its run; pure functions."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput, SpecError, WorkbenchError, did_you_mean, nearest
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.pipelines.definition.nouns import PipelineSpec, Place, StageSpec
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.plan.inputs import Sources, plan_input
from mlops_workbench.pipelines.plan.instances import instances
from mlops_workbench.pipelines.plan.nouns import InputPlan, Matches, NotebookFacts, OutputPlan, Plan, StagePlan
from mlops_workbench.pipelines.plan.order import stage_order

_BUILTINS = frozenset(dir(builtins))


def make_plan(
    spec: PipelineSpec,
    notebooks: Mapping[str, NotebookFacts | WorkbenchError],
    matches: Matches,
    outputs: Callable[[str], Path],
    given: Mapping[str, object] | None = None,
) -> Plan:
    """Check a spec against its notebooks, files and given parameters, and plan its run.

    Parameters
    ----------
    spec : PipelineSpec
        The spec.
    notebooks : mapping
        For each notebook in the spec its facts, or the error of reading it.
    matches : callable
        Finds the files of an input.
    outputs : callable
        Returns the output folder of a stage or an instance. Data sets and queries are written beside it, into
        ``inputs``.
    given : mapping, optional
        Values for the pipeline's parameters; without it, parameters without a default have no value.

    Raises
    ------
    SpecError
        The spec is wrong; ``where`` is ``file:line:column``. The errors of all stages are reported.
    InvalidInput
        A given parameter is unknown, missing or of the wrong type.
    """
    params = pipeline_params(spec, given)
    problems = Problems()
    made: dict[str, dict[str, StagePlan]] = {}
    order = stage_order(spec)
    complete = given is not None
    for name in order:
        stage = spec.stages[name]
        with problems.collect():
            notebook = _notebook(spec, stage, notebooks[stage.notebook])
            planner = _StagePlanner(spec, stage, notebook, params, Sources(spec, made, matches, outputs))
            made[name] = planner.instances(complete)
    problems.check()
    return Plan(spec, params, tuple(instance for name in order for instance in made[name].values()))


def pipeline_params(spec: PipelineSpec, given: Mapping[str, object] | None) -> dict[str, object]:
    """Values of the pipeline's parameters, without secrets.

    Raises
    ------
    InvalidInput
        A given parameter is unknown, missing or of the wrong type.
    """
    for name in given or ():
        if name not in spec.params:
            raise InvalidInput(
                f"pipeline '{spec.name}' has no parameter '{name}'", hint=did_you_mean(name, spec.params)
            )
    values: dict[str, object] = {}
    for name, param in spec.params.items():
        if param.secret:
            if given is not None and name in given:
                raise InvalidInput(
                    f"parameter '{name}' of pipeline '{spec.name}' is a secret, and cannot be given",
                    where=spec.where(param.line),
                    hint=f"set the environment variable {param.secret} where the pipeline runs",
                )
        elif given is not None and name in given:
            values[name] = param.convert(given[name])
        elif not param.required:
            values[name] = param.default
        elif given is not None:
            raise InvalidInput(
                f"pipeline '{spec.name}' needs a value for parameter '{name}'",
                where=spec.where(param.line),
                hint=f"it is of type {param.type}" + (f": {param.help}" if param.help else ""),
            )
    return values


def _notebook(spec: PipelineSpec, stage: StageSpec, found: NotebookFacts | WorkbenchError) -> NotebookFacts:
    where = spec.where(stage.at("notebook"))
    if isinstance(found, WorkbenchError):
        place = f" ({found.where})" if found.where and "line" in found.where else ""
        raise SpecError(
            f"notebook '{stage.notebook}' of stage '{stage.name}': {found.message}{place}",
            where=where,
            hint=found.hint or "its path is relative to the folder of the spec",
        ) from found
    if found.language != "python":
        raise SpecError(
            f"notebook '{stage.notebook}' of stage '{stage.name}' is written in {found.language}",
            where=where,
            hint="the stages of a pipeline are Python notebooks",
        )
    return found


@dataclass(frozen=True)
class _StagePlanner:
    """Plans one stage; its errors have the places of the spec."""

    spec: PipelineSpec
    stage: StageSpec
    notebook: NotebookFacts
    params: Mapping[str, object]
    sources: Sources

    def instances(self, complete: bool) -> dict[str, StagePlan]:
        """All instances; `complete`: parameters without a value are errors."""
        problems = Problems()
        params: dict[str, object] = {}
        secrets: dict[str, str] = {}
        matrix: dict[str, list[object]] = {}
        inputs: dict[str, Parameter | None] = {}
        outputs: dict[str, Parameter | None] = {}
        for name in self.stage.params:
            with problems.collect():
                self._param(name, params, secrets, matrix)
        for group, entries in ((inputs, self.stage.inputs), (outputs, self.stage.outputs)):
            for name, entry in entries.items():
                with problems.collect():
                    group[name] = self._variable(name, entry.place)
        if complete:
            with problems.collect():
                self._check_required({*params, *secrets, *matrix, *inputs, *outputs})
        problems.check()
        if not self.sources.complete(self.stage):
            return {}  # the errors of the stages that it needs are reported
        matrix = {name: matrix[name] for name in self.stage.matrix}
        found: dict[str, StagePlan] = {}
        for name, values in instances(self.spec, self.stage, matrix).items():
            found[name] = StagePlan(
                name=name,
                spec=self.stage,
                notebook=self.notebook.path,
                needs=self.sources.needs(self.stage),
                matrix=values,
                params={key: {**params, **values}[key] for key in self.stage.params if key in {*params, *values}},
                secrets=secrets,
                inputs={key: self._input(name, key, accept) for key, accept in inputs.items()},
                outputs={key: self._output(name, key, accept) for key, accept in outputs.items()},
            )
        return found

    def _param(
        self, name: str, params: dict[str, object], secrets: dict[str, str], matrix: dict[str, list[object]]
    ) -> None:
        param = self.stage.params[name]
        accept = self.notebook.parameters.get(name)
        if accept is None:
            raise self._unknown(name, param.place)
        declared = self.spec.params.get(name) if param.of_pipeline else None
        if declared is not None and declared.secret:
            secrets[name] = declared.secret
        elif name in self.stage.matrix:
            place = self.stage.at("matrix")
            values = list(self.stage.matrix[name])
            if declared is not None:
                try:
                    values = [declared.convert(value) for value in values]
                except InvalidInput as error:
                    raise SpecError(
                        f"the matrix of stage '{self.stage.name}': {error.message}",
                        where=self.spec.where(place),
                        hint=error.hint,
                    ) from error
            matrix[name] = [self._fitting(accept, value, place) for value in values]
        elif not param.of_pipeline or name in self.params:
            value = self.params[name] if param.of_pipeline else param.constant
            params[name] = self._fitting(accept, value, param.place)

    def _variable(self, name: str, place: Place) -> Parameter | None:
        """The parameter that an input or output is; None for a name that the code uses without declaring it."""
        if name in self.notebook.parameters:
            return self.notebook.parameters[name]
        known = self.notebook.parameters
        if self.spec.version == 1:
            raise self._unknown(name, place)
        if name in self.notebook.names:
            return None
        close = nearest(name, [*known, *(other for other in self.notebook.names if other not in _BUILTINS)])
        raise SpecError(
            f"stage '{self.stage.name}' passes '{name}', but notebook '{self.stage.notebook}' does not use it",
            where=self.spec.where(place),
            hint=f"did you mean '{close}'?" if close else f"read the variable '{name}' in a cell, or load('{name}')",
        )

    def _unknown(self, name: str, place: Place) -> SpecError:
        hint = f"assign '{name}' in a cell of the notebook and give that cell the tag 'parameters'"
        return SpecError(
            f"stage '{self.stage.name}' passes '{name}', but notebook '{self.stage.notebook}' has no such parameter",
            where=self.spec.where(place),
            hint=did_you_mean(name, self.notebook.parameters) if self.notebook.parameters else hint,
        )

    def _fitting(self, parameter: Parameter | None, value: object, place: Place) -> object:
        if parameter is None:
            return value
        try:
            return parameter.convert(value)
        except InvalidInput as error:
            raise SpecError(
                f"stage '{self.stage.name}' does not match notebook '{self.stage.notebook}': {error.message}",
                where=self.spec.where(place),
                hint=error.hint or "change the type in the notebook's parameters cell or in the spec",
            ) from error

    def _input(self, instance: str, name: str, accept: Parameter | None) -> InputPlan:
        entry = self.stage.inputs[name]
        found = plan_input(self.sources, instance, name, entry, accept)
        if found.candidates:
            candidates = {
                chosen: (path, self._fitting(accept, value, entry.place))
                for chosen, (path, value) in found.candidates.items()
            }
            return InputPlan(entry, candidates=candidates)
        return InputPlan(entry, found.files, self._fitting(accept, found.value, entry.place))

    def _output(self, instance: str, name: str, accept: Parameter | None) -> OutputPlan:
        output = self.stage.outputs[name]
        path = str(self.sources.outputs(instance) / output.path)
        return OutputPlan(output, path, self._fitting(accept, path, output.place))

    def _check_required(self, passed: set[str]) -> None:
        missing = [
            parameter
            for parameter in self.notebook.parameters.values()
            if parameter.required and parameter.name not in passed
        ]
        if missing:
            names = ", ".join(f"'{parameter.name}'" for parameter in missing)
            types = ", ".join(str(parameter.type) for parameter in missing)
            raise SpecError(
                f"stage '{self.stage.name}' does not pass {names}, which notebook '{self.stage.notebook}' needs",
                where=self.spec.where(self.stage.place),
                hint=f"add it to the stage's params, or give it a default in the notebook ({types})",
            )
