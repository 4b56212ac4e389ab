"""A stage of a spec."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import TypeVar, get_args

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.pipelines.definition.edges import read_input, read_output
from mlops_workbench.pipelines.definition.nouns import (
    CacheSpec,
    Cause,
    InputSpec,
    OutputSpec,
    Place,
    ResourceSpec,
    RetrySpec,
    StageParam,
    StageSpec,
)
from mlops_workbench.pipelines.definition.params import variable
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.definition.values import (
    conditions,
    count,
    distinct,
    duration,
    flag,
    number,
    size,
    words,
)
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

STAGE_KEYS_1 = ("notebook", "params", "inputs", "outputs", "timeout", "retries")
STAGE_KEYS = (*STAGE_KEYS_1, "metrics", "matrix", "resources", "cache", "gate")
RETRY_KEYS = ("max", "on", "backoff")
RESOURCE_KEYS = ("cpu", "memory", "gpu")
CACHE_KEYS = ("ttl", "ignore")
CACHE_PARTS = ("packages", "python")
CAUSES: tuple[Cause, ...] = get_args(Cause)
#: As regular expressions of JSON Schema, too.
STAGE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
RANGE = r"(-?[0-9]{1,15})\.\.(-?[0-9]{1,15})"
MOST_RETRIES = 10
#: Instances of one stage.
MOST_INSTANCES = 10_000

_Entry = TypeVar("_Entry", InputSpec, OutputSpec)


def read_stage(name: str, node: YamlNode, stages: Collection[str], version: int) -> StageSpec:
    """Read a stage.

    Raises
    ------
    SpecError
        Something in it is wrong; all errors are reported.
    """
    if not re.fullmatch(STAGE_NAME, name):
        raise node.key_error(
            f"'{name}' cannot be the name of a stage", "use letters, digits, '_' and '-', at most 64 of them"
        )
    what = f"stage '{name}'"
    problems = Problems()
    entries = {}
    with problems.collect():
        entries = node.record(what, STAGE_KEYS_1 if version == 1 else STAGE_KEYS, required=("notebook",))
    problems.check()
    given: dict[str, object] = {}
    for key, value in entries.items():
        with problems.collect():
            given[key] = _entry(key, value, name, stages, version)
    problems.check()
    places = {key: value.place for key, value in entries.items()}
    for index, item in enumerate(entries["gate"].items("gate") if "gate" in entries else ()):
        places[f"gate.{index}"] = item.place
    found = StageSpec(name, place=node.place, places=places, **given)  # type: ignore[arg-type]
    _check_distinct(node, what, found)
    return found


def _entry(key: str, node: YamlNode, stage: str, stages: Collection[str], version: int) -> object:
    what = f"stage '{stage}'"
    match key:
        case "notebook":
            return node.text("notebook")
        case "params":
            return _params(node, what)
        case "inputs":
            return _inputs(node, stages, version)
        case "outputs":
            return _outputs(node, version)
        case "metrics":
            return distinct([(item, item.text("a metric")) for item in node.items("metrics")], "metrics")
        case "matrix":
            return _matrix(node)
        case "timeout":
            return duration(node, "timeout")
        case "retries":
            return _retries(node, version)
        case "resources":
            return _resources(node)
        case "cache":
            return _cache(node)
        case _:
            return conditions(node, "gate")


def _params(node: YamlNode, what: str) -> dict[str, StageParam]:
    found: dict[str, StageParam] = {}
    problems = Problems()
    what = f"params of {what}"

    def add(name: str, entry: YamlNode, param: StageParam) -> None:
        if name in found:
            raise entry.error(f"'{name}' is given twice in the {what}")
        found[variable(entry, "a parameter", name)] = param

    for item in [node] if node.is_mapping else node.items(what):
        with problems.collect():
            if not item.is_mapping:
                add(item.text("a parameter's name"), item, StageParam(place=item.place))
                continue
            for name, value in item.mapping(what).items():
                with problems.collect():
                    add(name, value, StageParam(value.value(), False, value.place))
    problems.check()
    return found


def _inputs(node: YamlNode, stages: Collection[str], version: int) -> dict[str, InputSpec]:
    found: dict[str, InputSpec] = {}
    problems = Problems()
    for name, item in node.mapping("'inputs'").items():
        with problems.collect():
            found[variable(item, "one of the inputs", name)] = read_input(item, name, stages, version)
    problems.check()
    return found


def _outputs(node: YamlNode, version: int) -> dict[str, OutputSpec]:
    found: dict[str, OutputSpec] = {}
    problems = Problems()
    for name, item in node.mapping("'outputs'").items():
        with problems.collect():
            found[variable(item, "one of the outputs", name)] = read_output(item, name, version)
    problems.check()
    return found


def _matrix(node: YamlNode) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    problems = Problems()
    for name, item in node.mapping("'matrix'").items():
        with problems.collect():
            found[variable(item, "a parameter", name)] = _matrix_values(name, item)
    problems.check()
    instances = math.prod(len(values) for values in found.values())
    if instances > MOST_INSTANCES:
        raise node.error(
            f"the matrix has {instances:,} instances, more than {MOST_INSTANCES:,}",
            "give fewer values, or use a sweep, which samples them",
        )
    return found


def _matrix_values(name: str, node: YamlNode) -> tuple[object, ...]:
    hint = f"write {name}: [1, 2, 3], or {name}: 1..3 for whole numbers"
    if node.is_list:
        values: list[object] = []
        for item in node.items(name):
            value = item.value()
            if any(type(other) is type(value) and other == value for other in values):
                raise item.error(f"{value!r} is given twice in the matrix", "remove one")
            values.append(value)
        if not values:
            raise node.error(f"'{name}' of the matrix has no value", hint)
        return tuple(values)
    text = node.value()
    match = re.fullmatch(RANGE, text) if isinstance(text, str) else None
    if match is None:
        raise node.error(f"'{name}' of the matrix must be a list or a range, not {node.kind}", hint)
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise node.error(f"the range {text} is empty", f"write {last}..{first}")
    if last - first >= MOST_INSTANCES:
        raise node.error(f"the range {text} has {last - first + 1:,} values, more than {MOST_INSTANCES:,}")
    return tuple(range(first, last + 1))


def _retries(node: YamlNode, version: int) -> RetrySpec:
    if version == 1 or not node.is_mapping:
        return RetrySpec(count(node, "retries", 0, MOST_RETRIES))
    entries = node.record("'retries'", RETRY_KEYS, required=("max",))
    causes = words(entries["on"], "the causes", CAUSES) if "on" in entries else RetrySpec().on
    if not causes:
        raise entries["on"].error("'on' names no cause", f"remove it for all causes: {', '.join(CAUSES)}")
    return RetrySpec(
        count(entries["max"], "max", 0, MOST_RETRIES),
        tuple(cause for cause in CAUSES if cause in causes),
        duration(entries["backoff"], "backoff", zero=True) if "backoff" in entries else 0.0,
    )


def _resources(node: YamlNode) -> ResourceSpec:
    entries = node.record("'resources'", RESOURCE_KEYS)
    return ResourceSpec(
        cpu=number(entries["cpu"], "cpu", 0, 100_000, above=True) if "cpu" in entries else 1.0,
        memory=size(entries["memory"], "memory") if "memory" in entries else 0,
        gpu=number(entries["gpu"], "gpu", 0, 10_000) if "gpu" in entries else 0.0,
    )


def _cache(node: YamlNode) -> CacheSpec:
    if not node.is_mapping:
        return CacheSpec(flag(node, "cache"))
    entries = node.record("'cache'", CACHE_KEYS)
    ignored = words(entries["ignore"], "the ignored parts", CACHE_PARTS) if "ignore" in entries else ()
    return CacheSpec(ttl=duration(entries["ttl"], "ttl") if "ttl" in entries else None, ignore=ignored)


def _check_distinct(node: YamlNode, what: str, stage: StageSpec) -> None:
    problems = Problems()
    groups: dict[str, str] = {}
    entries: list[tuple[str, str, Place]] = [
        *(("params", name, param.place) for name, param in stage.params.items()),
        *(("inputs", name, given.place) for name, given in stage.inputs.items()),
        *(("outputs", name, output.place) for name, output in stage.outputs.items()),
    ]
    for group, name, place in entries:
        if name in groups:
            error = node.error(f"{what} has '{name}' in {groups[name]} and in {group}", "rename one")
            error.where = f"{node.file}:{place}"
            problems.add(error)
        groups.setdefault(name, group)
    paths: dict[str, str] = {}
    for name, output in stage.outputs.items():
        if output.path in paths:
            error = node.error(
                f"outputs '{paths[output.path]}' and '{name}' of {what} are the same file",
                "give each output a path of its own",
            )
            error.where = f"{node.file}:{output.place}"
            problems.add(error)
        paths[output.path] = name
    for name in stage.matrix:
        if name not in stage.params:
            error = node.error(
                f"the matrix of {what} has '{name}', which is not one of its params",
                f"add it to the params; {did_you_mean(name, stage.params)}" if stage.params else "add it to the params",
            )
            error.where = f"{node.file}:{stage.at('matrix')}"
            problems.add(error)
    problems.check()
