"""Checks of what the parts of a spec say about each other."""

from __future__ import annotations

from mlops_workbench.core.errors import SpecError, did_you_mean
from mlops_workbench.core.gates import condition_metrics
from mlops_workbench.pipelines.definition.nouns import InputSpec, PipelineSpec, Place, StageSpec
from mlops_workbench.pipelines.definition.problems import Problems


def check_spec(spec: PipelineSpec) -> None:
    """Check parameters, inputs, gates, publication and triggers against the rest of the spec.

    Raises
    ------
    SpecError
        Something does not fit; all errors are reported.
    """
    problems = Problems()

    def add(place: Place, message: str, hint: str) -> None:
        problems.add(SpecError(message, where=spec.where(place), hint=hint))

    for stage in spec.stages.values():
        for name, param in stage.params.items():
            if param.of_pipeline and name not in spec.params:
                add(
                    param.place,
                    f"stage '{stage.name}' takes '{name}', which is not a parameter of the pipeline",
                    did_you_mean(name, spec.params) if spec.params else f"declare it: 'params: {{{name}: ...}}'",
                )
        for name in stage.matrix:
            if stage.params[name].of_pipeline and name in spec.params and spec.params[name].secret:
                add(stage.at("matrix"), f"'{name}' is a secret, which has no values in a matrix", "remove it")
        for entry in stage.inputs.values():
            if entry.kind == "stage":
                _check_edge(spec, problems, entry)
        _check_gate(spec, problems, stage)
    _check_publish(spec, problems)
    for trigger in spec.triggers:
        if trigger.kind == "pipeline" and trigger.settings["name"] == spec.name:
            add(trigger.place, "the pipeline would start itself again and again", "name another pipeline")
    problems.check()


def _check_edge(spec: PipelineSpec, problems: Problems, entry: InputSpec) -> None:
    source = spec.stages[entry.source]
    where = spec.where(entry.place)
    if entry.output not in source.outputs:
        message = f"stage '{source.name}' has no output '{entry.output}'"
        problems.add(SpecError(message, where=where, hint=did_you_mean(entry.output, source.outputs)))
    if not entry.choose:
        return
    if not source.matrix:
        message = f"stage '{source.name}' has no matrix, so there is nothing to choose from"
        problems.add(SpecError(message, where=where, hint=f"write {entry.source}.{entry.output}"))
    metric = entry.choose.partition(" ")[2]
    if source.metrics and metric not in source.metrics:
        message = f"stage '{source.name}' has no metric '{metric}' to choose by"
        hint = f"{did_you_mean(metric, source.metrics)} Otherwise add it to the metrics of '{source.name}'"
        problems.add(SpecError(message, where=where, hint=hint))


def _check_gate(spec: PipelineSpec, problems: Problems, stage: StageSpec) -> None:
    for index, text in enumerate(stage.gate):
        where = spec.where(stage.at(f"gate.{index}"))
        for scope, metric in condition_metrics(text):
            if scope == "metrics" and stage.metrics and metric not in stage.metrics:
                message = f"the gate of stage '{stage.name}' needs '{metric}', which is not one of its metrics"
                hint = f"add it to the metrics, or correct the name; {did_you_mean(metric, stage.metrics)}"
                problems.add(SpecError(message, where=where, hint=hint))
            elif scope == "champion" and spec.publish is None:
                message = f"the gate of stage '{stage.name}' names the champion, but the pipeline publishes no model"
                hint = "add 'publish: {model: STAGE, as: NAME}'; the champion is the one of that name"
                problems.add(SpecError(message, where=where, hint=hint))
            elif scope == "baseline":
                message = f"the gate of stage '{stage.name}' names a baseline, which a pipeline does not have"
                problems.add(SpecError(message, where=where, hint="log the number as a metric, and compare with it"))


def _check_publish(spec: PipelineSpec, problems: Problems) -> None:
    publish = spec.publish
    if publish is None:
        return
    unknown = [
        (name, key)
        for name, key in ((publish.stage, "model"), (publish.metrics_from, "metrics_from"))
        if name not in spec.stages and (key == "model" or name != publish.stage)
    ]
    for name, key in unknown:
        message = f"'publish' names an unknown stage '{name}'"
        problems.add(SpecError(message, where=spec.where(publish.at(key)), hint=did_you_mean(name, spec.stages)))
    if unknown:
        return
    stage = spec.stages[publish.stage]
    where = spec.where(publish.at("model"))
    if not publish.model:
        if stage.matrix:
            message = f"'publish' takes the model of stage '{stage.name}', which has several because of its matrix"
            hint = f"give a later stage an input '{stage.name}.OUTPUT[max METRIC]', and publish that: LATER.INPUT"
            problems.add(SpecError(message, where=where, hint=hint))
        return
    problem = _no_model(spec, stage, publish.model)
    if problem:
        problems.add(SpecError(problem[0], where=where, hint=problem[1]))


def _no_model(spec: PipelineSpec, stage: StageSpec, name: str) -> tuple[str, str] | None:
    """Why an input or output of a stage is not one model, with a hint; None if it is."""
    if name in stage.outputs:
        if stage.outputs[name].type != "model":
            return (
                f"output '{name}' of stage '{stage.name}' is a {stage.outputs[name].type}, not a model",
                f"write {name}: {{path: {stage.outputs[name].path}, type: model}}",
            )
        if stage.matrix:
            hint = f"give a later stage an input '{stage.name}.{name}[max METRIC]', and publish that: LATER.INPUT"
            return f"stage '{stage.name}' has a matrix, and so several models", hint
        return None
    if name not in stage.inputs:
        return (
            f"stage '{stage.name}' has no input or output '{name}'",
            did_you_mean(name, [*stage.inputs, *stage.outputs]),
        )
    entry = stage.inputs[name]
    if entry.kind != "stage":
        return f"input '{name}' of stage '{stage.name}' comes from no stage", "publish a model that a stage made"
    source = spec.stages[entry.source]
    output = source.outputs.get(entry.output)
    if output is not None and output.type != "model":
        return (
            f"input '{name}' of stage '{stage.name}' is a {output.type}, not a model",
            f"write {entry.output}: {{path: {output.path}, type: model}} in stage '{source.name}'",
        )
    if source.matrix and not entry.choose:
        return (
            f"input '{name}' of stage '{stage.name}' has the models of all instances of '{source.name}'",
            f"choose one: {name}: {entry.source}.{entry.output}[max METRIC]",
        )
    return None
