"""Writes a spec of version 1 anew as version 2: pure functions on its text."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlops_workbench.core.errors import Conflict, SpecError
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import ParamSpec, PipelineSpec, PublishSpec, StageSpec
from mlops_workbench.pipelines.definition.yaml_nodes import parse_yaml

_COMMENT = re.compile(r"[ \t]*#")


@dataclass(frozen=True)
class _Edit:
    """Replaces the text from `start` to `end`."""

    start: int
    end: int
    text: str


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
    edits = [_Edit(version.start_mark.index, version.end_mark.index, "2")]
    if spec.publish is not None:
        stage = entries["stages"].mapping("'stages'")[spec.publish.metrics_from].node
        assert isinstance(stage, yaml.MappingNode)
        publish = entries["publish"].node
        assert isinstance(publish, yaml.MappingNode)
        edits += _publish_edits(text, spec, publish, stage)
    result = _applied(text, edits)
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


def _publish_edits(text: str, spec: PipelineSpec, publish: yaml.MappingNode, stage: yaml.MappingNode) -> list[_Edit]:
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
            edits.append(_Edit(key.start_mark.index, key.end_mark.index, "model"))
            edits.append(_Edit(value.start_mark.index, value.end_mark.index, _model(spec, spec.publish)))
        elif key.value == "metrics_from":
            edits.append(_removed(text, publish, index)[0])
        elif key.value == "gate":
            edit, gate = _removed(text, publish, index)
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


def _flow_edit(text: str, spec: PipelineSpec, publish: yaml.MappingNode) -> _Edit:
    """Writes the entries of ``publish: {...}`` anew."""
    assert spec.publish is not None
    kept = []
    for key, value in publish.value:
        if key.value == "stage":
            kept.append(f"model: {_model(spec, spec.publish)}")
        elif key.value in ("as", "alias"):
            kept.append(text[key.start_mark.index : value.end_mark.index])
    return _Edit(publish.start_mark.index, publish.end_mark.index, "{" + ", ".join(kept) + "}")


def _removed(text: str, mapping: yaml.MappingNode, index: int) -> tuple[_Edit, str]:
    """The removal of an entry of a block, and its text with the comments above it."""
    key, value = mapping.value[index]
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    while start and _COMMENT.match(text, text.rfind("\n", 0, start - 1) + 1, start):
        start = text.rfind("\n", 0, start - 1) + 1
    end = _line_end(text, _last_index(value))
    return _Edit(start, end, ""), text[start:end]


def _gate_edit(text: str, publish: yaml.MappingNode, stage: yaml.MappingNode, gate: str) -> _Edit:
    """Adds the gate to a stage."""
    if stage.flow_style:
        conditions = next(value for key, value in publish.value if key.value == "gate")
        items = ", ".join(_quoted(item.value) for item in conditions.value)
        end = stage.end_mark.index - 1
        comma = "" if text[:end].rstrip().endswith(",") else ", "
        return _Edit(end, end, f"{comma}gate: [{items}]")
    column = stage.value[0][0].start_mark.column
    end = _line_end(text, _last_index(stage))
    if publish.flow_style:
        block = f"{' ' * column}{gate}\n"
    else:
        shift = column - publish.value[0][0].start_mark.column
        block = "".join(_shifted(line, shift) for line in gate.splitlines(keepends=True))
    if not block.endswith("\n"):
        block += "\n"
    before = "" if text[end - 1 : end] == "\n" else "\n"
    return _Edit(end, end, before + block)


def _quoted(text: str) -> str:
    return yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=10_000).strip()[1:-1]


def _shifted(line: str, by: int) -> str:
    if by >= 0:
        return " " * by + line if line.strip() else line
    return line[min(-by, len(line) - len(line.lstrip(" "))) :]


def _last_index(node: yaml.Node) -> int:
    """Index of the end of the last scalar or flow collection: a block collection ends where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _last_index(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_index(node.value[-1])
    return node.end_mark.index


def _line_end(text: str, index: int) -> int:
    """Index after the end of the line."""
    # A block scalar (| or >) ends at the begin of a line.
    if index and text[index - 1] == "\n":
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _applied(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
