"""Sets and removes schedules in the files that define them; comments and layout stay: pure functions on the text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import yaml

from mlops_workbench.core.errors import Conflict, NotFound, SpecError, did_you_mean
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.nouns import PipelineSpec
from mlops_workbench.pipelines.definition.yaml_edits import (
    Edit,
    applied,
    entry,
    last_index,
    line_end,
    put,
    put_below,
    quoted,
    removed,
)
from mlops_workbench.pipelines.definition.yaml_nodes import parse_yaml
from mlops_workbench.pipelines.triggers.notebooks import parse_schedules
from mlops_workbench.pipelines.triggers.targets import Target

_NEW_FILE = """\
# Notebooks that run by themselves. 'mlops schedule NOTEBOOK CRON' adds an entry; paths are relative to this folder.
version: 1
schedules:
"""
_BY_HAND = "change the file by hand"


def schedule_pipeline(text: str, path: Path, settings: Mapping[str, str]) -> str:
    """Text of a spec with a schedule; one that it has gets these settings, and keeps the others.

    Parameters
    ----------
    text, path : str, Path
        The spec, of version 2.
    settings : mapping
        ``cron``, and ``timezone`` and ``catchup`` if they are given.

    Raises
    ------
    SpecError
        The spec is wrong, or a setting is.
    Conflict
        It has version 1 or several schedules, or cannot be changed without a change of its layout.
    """
    before = _version_2(text, path)
    root = _mapping(text, path)
    values = {name: quoted(value) if name == "cron" else value for name, value in settings.items()}
    flow = "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"
    index = entry(root, "on")
    if index is None:
        if root.flow_style:
            raise Conflict("the spec is written in braces", where=str(path), hint=_BY_HAND)
        gap = "" if text.endswith("\n") else "\n"
        result = f"{text}{gap}\non:\n  schedule: {flow}\n"
    else:
        key, on = root.value[index]
        result = applied(text, _in_triggers(text, path, key, on, values, flow))
    after = _parsed(result, path)
    schedules = [dict(found.settings) for found in after.triggers if found.kind == "schedule"]
    # Values as they were read: `catchup: false` is 'skip'.
    if len(schedules) != 1 or schedules[0]["cron"] != " ".join(settings["cron"].split()) or not _same(before, after):
        raise Conflict("the schedule cannot be set without other changes", where=str(path), hint=_BY_HAND)
    return result


def _in_triggers(
    text: str, path: Path, key: yaml.Node, on: yaml.Node, values: Mapping[str, str], flow: str
) -> list[Edit]:
    if not isinstance(on, yaml.MappingNode):  # no value at all: others are refused by the reader
        return [put_below(text, key, [f"schedule: {flow}"])]
    index = entry(on, "schedule")
    if index is None:
        return put(text, on, {"schedule": flow})
    schedule = on.value[index][1]
    if isinstance(schedule, yaml.SequenceNode):
        if len(schedule.value) > 1:
            raise Conflict("the pipeline has several schedules", where=str(path), hint=_BY_HAND)
        schedule = schedule.value[0]
    assert isinstance(schedule, yaml.MappingNode)
    return put(text, schedule, values)


def unschedule_pipeline(text: str, path: Path) -> str:
    """Text of a spec without its schedules.

    Raises
    ------
    SpecError
        The spec is wrong.
    NotFound
        It has no schedule.
    Conflict
        It has version 1, or cannot be changed without a change of its layout.
    """
    before = _version_2(text, path)
    root = _mapping(text, path)
    index = entry(root, "on")
    on = root.value[index][1] if index is not None else None
    found = entry(on, "schedule") if isinstance(on, yaml.MappingNode) else None
    if index is None or found is None:
        raise NotFound(f"pipeline '{before.name}' has no schedule", where=str(path))
    assert isinstance(on, yaml.MappingNode)
    if len(on.value) == 1 and not root.flow_style:
        result = applied(text, [removed(text, root, index)[0]])
    elif on.flow_style:
        result = applied(text, [_removed_from_flow(text, on, found)])
    else:
        result = applied(text, [removed(text, on, found)[0]])
    after = _parsed(result, path)
    if any(trigger.kind == "schedule" for trigger in after.triggers) or not _same(before, after):
        raise Conflict("the schedule cannot be removed without other changes", where=str(path), hint=_BY_HAND)
    return result


def schedule_notebook(text: str, path: Path, name: str, values: Mapping[str, str]) -> str:
    """Text of ``schedules.yaml`` with an entry; one that there is gets these values, and keeps the others.

    Parameters
    ----------
    text, path : str, Path
        The file; empty for a new one.
    name : str
        The entry.
    values : mapping
        Its keys, to YAML on one line.

    Raises
    ------
    SpecError
        The file is wrong, or a value is.
    Conflict
        It cannot be changed without a change of its layout.
    """
    text = text if text.strip() else _NEW_FILE
    before = {target.name: target for target in parse_schedules(text, path)}
    root = _mapping(text, path)
    index = entry(root, "schedules")
    lines = [f"{name}:", *(f"  {key}: {value}" for key, value in values.items())]
    if index is None:
        gap = "" if text.endswith("\n") else "\n"
        result = text + gap + "".join(f"{line}\n" for line in ("schedules:", *(f"  {line}" for line in lines)))
    else:
        key, schedules = root.value[index]
        if not isinstance(schedules, yaml.MappingNode):
            result = applied(text, [put_below(text, key, lines)])
        elif (found := entry(schedules, name)) is not None:
            result = applied(text, put(text, schedules.value[found][1], values))
        elif schedules.flow_style:
            flow = "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"
            result = applied(text, put(text, schedules, {name: flow}))
        else:
            end = line_end(text, last_index(schedules))
            column = " " * schedules.value[0][0].start_mark.column
            gap = "" if text[end - 1 : end] == "\n" else "\n"
            block = gap + "".join(f"{column}{line}\n" for line in lines)
            result = applied(text, [Edit(end, end, block)])
    after = {target.name: target for target in parse_schedules(result, path)}
    if name not in after or not _others_stay(before, after, name):
        raise Conflict("the schedule cannot be set without other changes", where=str(path), hint=_BY_HAND)
    return result


def unschedule_notebook(text: str, path: Path, name: str) -> str:
    """Text of ``schedules.yaml`` without an entry; raises NotFound, SpecError or Conflict."""
    before = {target.name: target for target in parse_schedules(text, path)}
    if name not in before:
        raise NotFound(f"there is no schedule '{name}'", where=str(path), hint=did_you_mean(name, before))
    root = _mapping(text, path)
    index = entry(root, "schedules")
    assert index is not None
    schedules = root.value[index][1]
    found = entry(schedules, name)
    assert found is not None
    if schedules.flow_style:
        result = applied(text, [_removed_from_flow(text, schedules, found)])
    else:
        result = applied(text, [removed(text, schedules, found)[0]])
    after = {target.name: target for target in parse_schedules(result, path)}
    if name in after or not _others_stay(before, after, name):
        raise Conflict("the schedule cannot be removed without other changes", where=str(path), hint=_BY_HAND)
    return result


def _removed_from_flow(text: str, mapping: yaml.MappingNode, index: int) -> Edit:
    if index + 1 < len(mapping.value):
        return Edit(mapping.value[index][0].start_mark.index, mapping.value[index + 1][0].start_mark.index, "")
    start = mapping.value[index - 1][1].end_mark.index if index else mapping.start_mark.index + 1
    return Edit(start, mapping.value[index][1].end_mark.index, "")


def _mapping(text: str, path: Path) -> yaml.MappingNode:
    node = parse_yaml(text, path).node
    assert isinstance(node, yaml.MappingNode)
    return node


def _version_2(text: str, path: Path) -> PipelineSpec:
    spec = parse_spec(text, path)
    if spec.version == 1:
        hint = f"'mlops pipeline migrate {spec.name}' writes it anew"
        raise Conflict("a spec of version 1 cannot have a schedule", where=str(path), hint=hint)
    return spec


def _parsed(text: str, path: Path) -> PipelineSpec:
    try:
        return parse_spec(text, path)
    except SpecError as error:
        if "cron" in error.message or "time zone" in error.message:
            raise
        raise Conflict(f"the spec cannot be changed: {error.message}", where=error.where, hint=_BY_HAND) from error


def _same(before: PipelineSpec, after: PipelineSpec) -> bool:
    """Whether two specs differ at most in their schedules."""
    return _without_schedules(before) == _without_schedules(after)


def _without_schedules(spec: PipelineSpec) -> PipelineSpec:
    params = {name: dataclasses.replace(param, line=0) for name, param in spec.params.items()}
    others = tuple(trigger for trigger in spec.triggers if trigger.kind != "schedule")
    return dataclasses.replace(spec, params=params, triggers=others)


def _others_stay(before: Mapping[str, Target], after: Mapping[str, Target], name: str) -> bool:
    return {key: value for key, value in before.items() if key != name} == {
        key: value for key, value in after.items() if key != name
    }
