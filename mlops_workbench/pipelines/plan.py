"""From a spec to a plan: stages in order, with all values for their notebooks; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput, SpecError, WorkbenchError, did_you_mean
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.pipelines.definition.nouns import InputSpec, OutputSpec, PipelineSpec, StageSpec

#: From a path or pattern in a spec to the matching files and its absolute form.
Matches = Callable[[str], tuple[list[str], str]]


@dataclass(frozen=True)
class NotebookFacts:
    """A notebook's file, its parameters by name, and the language of its kernel in lower case."""

    path: Path
    parameters: dict[str, Parameter]
    language: str = "python"


@dataclass(frozen=True)
class InputPlan:
    """An input of a stage.

    Attributes
    ----------
    spec : InputSpec
        The input in the spec.
    files : tuple of str
        Absolute paths or URLs.
    value : object
        What the notebook gets: one path, or a list if its parameter is a list; None if it is chosen later.
    candidates : dict
        For an input with `choose`: by instance the path, and the value for the notebook.
    """

    spec: InputSpec
    files: tuple[str, ...] = ()
    value: object = None
    candidates: dict[str, tuple[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputPlan:
    """An output of a stage: the absolute path, and the value for the notebook."""

    spec: OutputSpec
    path: str
    value: object


@dataclass(frozen=True)
class StagePlan:
    """A stage, or an instance of a stage with a matrix, ready to run.

    Attributes
    ----------
    name : str
        Name of the instance: ``train``, or ``train@lr=0.1``.
    needs : tuple of str
        Instances that must have succeeded before.
    matrix : dict
        Its values of the matrix.
    params : dict
        Parameters and constants, converted for the notebook; without secrets.
    secrets : dict
        Parameters to the environment variables that hold their values.
    """

    name: str
    spec: StageSpec
    notebook: Path
    needs: tuple[str, ...] = ()
    matrix: dict[str, object] = field(default_factory=dict)
    params: dict[str, object] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, InputPlan] = field(default_factory=dict)
    outputs: dict[str, OutputPlan] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, object]:
        """All values to inject that are known before the run."""
        inputs = {name: entry.value for name, entry in self.inputs.items() if not entry.candidates}
        return {**self.params, **inputs, **{name: entry.value for name, entry in self.outputs.items()}}


@dataclass(frozen=True)
class Plan:
    """Stages in topological order, and the values of the pipeline's parameters."""

    spec: PipelineSpec
    params: dict[str, object]
    stages: tuple[StagePlan, ...]


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
        Returns the output folder of a stage.
    given : mapping, optional
        Values for the pipeline's parameters; without it, parameters without a default have no value.

    Raises
    ------
    SpecError
        The spec is wrong; ``where`` is ``file:line``.
    InvalidInput
        A given parameter is unknown, missing or of the wrong type.
    """
    params = _pipeline_params(spec, given)
    order = _order(spec)
    _check_publish(spec)
    stages = []
    for name in order:
        stage = spec.stages[name]
        notebook = _notebook(spec, stage, notebooks[stage.notebook])
        stages.append(_stage_plan(spec, stage, notebook, params, matches, outputs, complete=given is not None))
    return Plan(spec, params, tuple(stages))


def _pipeline_params(spec: PipelineSpec, given: Mapping[str, object] | None) -> dict[str, object]:
    for name in given or ():
        if name not in spec.params:
            raise InvalidInput(
                f"pipeline '{spec.name}' has no parameter '{name}'", hint=did_you_mean(name, spec.params)
            )
    values: dict[str, object] = {}
    for name, param in spec.params.items():
        if given is not None and name in given:
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


def _needs(spec: PipelineSpec, stage: StageSpec) -> dict[str, int]:
    """Stages that a stage needs, with the line of the input."""
    found: dict[str, int] = {}
    for entry in stage.inputs.values():
        if entry.kind == "stage":
            found.setdefault(entry.source, entry.line)
    return found


def _order(spec: PipelineSpec) -> list[str]:
    """Stages in topological order, otherwise in the order of the file."""
    done: list[str] = []
    path: list[str] = []

    def visit(name: str, line: int) -> None:
        if name in done:
            return
        if name in path:
            cycle = [*path[path.index(name) :], name]
            raise SpecError(
                f"stages need each other in a cycle: {' -> '.join(cycle)}",
                where=spec.where(line),
                hint="remove one of these inputs; an arrow means 'needs'",
            )
        path.append(name)
        for needed, place in _needs(spec, spec.stages[name]).items():
            visit(needed, place)
        path.pop()
        done.append(name)

    for name, stage in spec.stages.items():
        visit(name, stage.line)
    return done


def _check_publish(spec: PipelineSpec) -> None:
    publish = spec.publish
    if publish is None:
        return
    for name, line in ((publish.stage, publish.stage_line), (publish.metrics_from, publish.metrics_line)):
        if name not in spec.stages:
            raise SpecError(
                f"'publish' names an unknown stage '{name}'",
                where=spec.where(line),
                hint=did_you_mean(name, spec.stages),
            )


def _notebook(spec: PipelineSpec, stage: StageSpec, found: NotebookFacts | WorkbenchError) -> NotebookFacts:
    where = spec.where(stage.notebook_line)
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


def _stage_plan(
    spec: PipelineSpec,
    stage: StageSpec,
    notebook: NotebookFacts,
    params: dict[str, object],
    matches: Matches,
    outputs_of: Callable[[str], Path],
    *,
    complete: bool,
) -> StagePlan:
    values: dict[str, object] = {}
    inputs: dict[str, InputPlan] = {}
    outputs: dict[str, OutputPlan] = {}
    for name, param in stage.params.items():
        if param.of_pipeline and name not in spec.params:
            raise SpecError(
                f"stage '{stage.name}' takes '{name}', which is not a parameter of the pipeline",
                where=spec.where(param.line),
                hint=did_you_mean(name, spec.params),
            )
        accept = _parameter(spec, stage, notebook, name, param.line)
        if not param.of_pipeline or name in params:
            value = params[name] if param.of_pipeline else param.constant
            values[name] = _fitting(spec, stage, accept, value, param.line)
    for name, entry in stage.inputs.items():
        accept = _parameter(spec, stage, notebook, name, entry.line)
        files, value = _input(spec, entry, accept, matches, outputs_of)
        inputs[name] = InputPlan(entry, files, _fitting(spec, stage, accept, value, entry.line))
    for name, output in stage.outputs.items():
        accept = _parameter(spec, stage, notebook, name, output.line)
        path = str(outputs_of(stage.name) / output.path)
        outputs[name] = OutputPlan(output, path, _fitting(spec, stage, accept, path, output.line))
    if complete:
        _check_required(spec, stage, notebook, {**values, **inputs, **outputs})
    return StagePlan(
        name=stage.name,
        spec=stage,
        notebook=notebook.path,
        needs=tuple(_needs(spec, stage)),
        params=values,
        inputs=inputs,
        outputs=outputs,
    )


def _parameter(spec: PipelineSpec, stage: StageSpec, notebook: NotebookFacts, name: str, line: int) -> Parameter:
    if name in notebook.parameters:
        return notebook.parameters[name]
    if notebook.parameters:
        hint = did_you_mean(name, notebook.parameters)
    else:
        hint = f"assign '{name}' in a cell of the notebook and give that cell the tag 'parameters'"
    raise SpecError(
        f"stage '{stage.name}' passes '{name}', but notebook '{stage.notebook}' has no such parameter",
        where=spec.where(line),
        hint=hint,
    )


def _fitting(spec: PipelineSpec, stage: StageSpec, parameter: Parameter, value: object, line: int) -> object:
    try:
        return parameter.convert(value)
    except InvalidInput as error:
        raise SpecError(
            f"stage '{stage.name}' does not match notebook '{stage.notebook}': {error.message}",
            where=spec.where(line),
            hint=error.hint or "change the type in the notebook's parameters cell or in the spec",
        ) from error


def _check_required(
    spec: PipelineSpec, stage: StageSpec, notebook: NotebookFacts, values: Mapping[str, object]
) -> None:
    for parameter in notebook.parameters.values():
        if parameter.required and parameter.name not in values:
            raise SpecError(
                f"stage '{stage.name}' does not pass '{parameter.name}', which notebook '{stage.notebook}' needs",
                where=spec.where(stage.line),
                hint=f"add it to the stage's params, or give it a default in the notebook ({parameter.type})",
            )


def _input(
    spec: PipelineSpec,
    entry: InputSpec,
    parameter: Parameter,
    matches: Matches,
    outputs: Callable[[str], Path],
) -> tuple[tuple[str, ...], object]:
    """Files of an input, and its value: a path or pattern, or the list of paths if the parameter is a list."""
    several = parameter.type.kind in ("list", "tuple")
    if entry.kind == "stage":
        produced = spec.stages[entry.source].outputs
        if entry.output not in produced:
            raise SpecError(
                f"stage '{entry.source}' has no output '{entry.output}'",
                where=spec.where(entry.line),
                hint=did_you_mean(entry.output, produced),
            )
        path = str(outputs(entry.source) / produced[entry.output].path)
        return (path,), [path] if several else path
    if entry.kind == "url":
        return (entry.source,), [entry.source] if several else entry.source
    found, absolute = matches(entry.source)
    if not found:
        stage = entry.source.partition(".")[0]
        edge_like = stage.replace("-", "_").isidentifier() and entry.source.count(".") == 1
        raise SpecError(
            f"no file matches '{entry.source}'" + (f", and there is no stage '{stage}'" if edge_like else ""),
            where=spec.where(entry.line),
            hint=did_you_mean(stage, spec.stages) if edge_like else "paths are relative to the folder of the spec",
        )
    return tuple(found), found if several else absolute
