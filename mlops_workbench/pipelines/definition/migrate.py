"""Writes a spec of version 1 anew as version 2: pure functions on its text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from mlops_workbench.core.errors import Conflict, SpecError
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import ParamSpec, PipelineSpec, PublishSpec, StageSpec
from mlops_workbench.pipelines.definition.yaml_edits import Edit, applied, last_index, line_end, removed
from mlops_workbench.pipelines.definition.yaml_nodes import parse_yaml


def migrate(text: str, path: Path) -> str:
    """Text of a spec of version 1 as version 2: same stages, comments and layout.

    The gate of ``publish`` becomes the gate of the stage whose metrics it compares.

    Raises
    ------
    SpecError
        The spec is wrong.
    Conflict
        It has version 2 already, or version 2 cannot say the same.
    """
    spec = parse_spec(text, path)
    if spec.version != 1:
        raise Conflict("the spec has version 2 already", where=str(path))
    root = parse_yaml(text, path)
    entries = root.mapping("the pipeline")
    version = entries["version"].node
    edits = [Edit(version.start_mark.index, version.end_mark.index, "2")]
    if spec.publish is not None:
        stage = entries["stages"].mapping("'stages'")[spec.publish.metrics_from].node
        assert isinstance(stage, yaml.MappingNode)
        publish = entries["publish"].node
        assert isinstance(publish, yaml.MappingNode)
        edits += _publish_edits(text, spec, publish, stage)
    result = applied(text, edits)
    hint = "change 'version' to 2 by hand, then the places that 'mlops pipeline' names"
    try:
        same = comparable(parse_spec(result, path)) == comparable(spec)
    except SpecError as error:
        raise Conflict(f"the spec cannot be rewritten: {error.message}", where=error.where, hint=hint) from error
    if not same:
        raise Conflict("version 2 of the spec would not mean the same", where=str(path), hint=hint)
    return result


def comparable(spec: PipelineSpec) -> PipelineSpec:
    """A spec without its version and the lines of its parameters, its gate with the stage and its model resolved."""
    stages = dict(spec.stages)
    publish = spec.publish
    if publish is not None:
        if publish.gate:
            stage = stages[publish.metrics_from]
            stages[stage.name] = dataclasses.replace(stage, gate=(*stage.gate, *publish.gate))
        publish = dataclasses.replace(publish, gate=(), stage=_maker(spec, publish), model="")
    params: dict[str, ParamSpec] = {name: dataclasses.replace(param, line=0) for name, param in spec.params.items()}
    return dataclasses.replace(spec, stages=stages, params=params, publish=publish, version=2)


def _maker(spec: PipelineSpec, publish: PublishSpec) -> str:
    """Stage whose run has the model."""
    entry = spec.stages[publish.stage].inputs.get(publish.model)
    return entry.source if entry is not None else publish.stage


def _publish_edits(text: str, spec: PipelineSpec, publish: yaml.MappingNode, stage: yaml.MappingNode) -> list[Edit]:
    assert spec.publish is not None
    if publish.flow_style:
        conditions = next((value for key, value in publish.value if key.value == "gate"), None)
        gate = f"gate: {text[conditions.start_mark.index : conditions.end_mark.index]}" if conditions else ""
        edits = [_flow_edit(text, spec, publish)]
        return [*edits, _gate_edit(text, publish, stage, gate)] if spec.publish.gate else edits
    edits = []
    gate = ""
    for index, (key, value) in enumerate(publish.value):
        if key.value == "stage":
            edits.append(Edit(key.start_mark.index, key.end_mark.index, "model"))
            edits.append(Edit(value.start_mark.index, value.end_mark.index, _model(spec, spec.publish)))
        elif key.value == "metrics_from":
            edits.append(removed(text, publish, index)[0])
        elif key.value == "gate":
            edit, gate = removed(text, publish, index)
            edits.append(edit)
    if spec.publish.gate:
        edits.append(_gate_edit(text, publish, stage, gate))
    return edits


def _model(spec: PipelineSpec, publish: PublishSpec) -> str:
    """The model as version 2 names it: by the stage that has its metrics."""
    if publish.stage == publish.metrics_from:
        return publish.stage
    source: StageSpec = spec.stages[publish.stage]
    for name, entry in spec.stages[publish.metrics_from].inputs.items():
        if entry.kind == "stage" and entry.source == source.name and source.outputs[entry.output].type == "model":
            return f"{publish.metrics_from}.{name}"
    raise Conflict(
        f"version 2 cannot say this: the model is of stage '{source.name}', its metrics are of"
        f" '{publish.metrics_from}', which has no input with that model",
        where=spec.where(publish.at("metrics_from")),
        hint=f"let '{source.name}' write the model to an output such as 'model.skops', and give it as an input to"
        f" '{publish.metrics_from}', which compares it",
    )


def _flow_edit(text: str, spec: PipelineSpec, publish: yaml.MappingNode) -> Edit:
    """Writes the entries of ``publish: {...}`` anew."""
    assert spec.publish is not None
    kept = []
    for key, value in publish.value:
        if key.value == "stage":
            kept.append(f"model: {_model(spec, spec.publish)}")
        elif key.value in ("as", "alias"):
            kept.append(text[key.start_mark.index : value.end_mark.index])
    return Edit(publish.start_mark.index, publish.end_mark.index, "{" + ", ".join(kept) + "}")


def _gate_edit(text: str, publish: yaml.MappingNode, stage: yaml.MappingNode, gate: str) -> Edit:
    """Adds the gate to a stage."""
    if stage.flow_style:
        conditions = next(value for key, value in publish.value if key.value == "gate")
        items = ", ".join(_quoted(item.value) for item in conditions.value)
        end = stage.end_mark.index - 1
        comma = "" if text[:end].rstrip().endswith(",") else ", "
        return Edit(end, end, f"{comma}gate: [{items}]")
    column = stage.value[0][0].start_mark.column
    end = line_end(text, last_index(stage))
    if publish.flow_style:
        block = f"{' ' * column}{gate}\n"
    else:
        shift = column - publish.value[0][0].start_mark.column
        block = "".join(_shifted(line, shift) for line in gate.splitlines(keepends=True))
    if not block.endswith("\n"):
        block += "\n"
    before = "" if text[end - 1 : end] == "\n" else "\n"
    return Edit(end, end, before + block)


def _quoted(text: str) -> str:
    return yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=10_000).strip()[1:-1]


def _shifted(line: str, by: int) -> str:
    if by >= 0:
        return " " * by + line if line.strip() else line
    return line[min(-by, len(line) - len(line.lstrip(" "))) :]
