"""Reads a pipeline spec from YAML; every error names file and line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mlops_workbench.core.errors import UNREADABLE, SpecError
from mlops_workbench.pipelines.definition.nouns import (
    InputSpec,
    OutputSpec,
    PipelineSpec,
    PublishSpec,
    RetrySpec,
    StageParam,
    StageSpec,
)
from mlops_workbench.pipelines.definition.params import named, read_param, variable
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode, read_yaml

_ROOT = ("version", "description", "experiment", "params", "stages", "publish")
_STAGE = ("notebook", "params", "inputs", "outputs", "timeout", "retries")
_PUBLISH = ("stage", "as", "alias", "gate", "metrics_from")
_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?\Z")


def read_spec(path: Path) -> PipelineSpec:
    """Read a spec and check everything that can be checked without its notebooks.

    Raises
    ------
    SpecError
        Invalid YAML, an unknown or duplicate key, a wrong type; ``where`` is ``file:line``.
    """
    root = read_yaml(path)
    entries = root.record("the pipeline", _ROOT, required=("version", "stages"))
    version = entries["version"]
    if version.value() != 1:
        raise version.error("version must be 1", "this workbench reads version 1 of the format")
    name = named(root, "pipeline", path.stem)
    params = {key: read_param(key, node) for key, node in _section(entries, "params")}
    names = tuple(entries["stages"].mapping("'stages'"))
    stages = {key: _stage(key, node, names) for key, node in _section(entries, "stages")}
    if not stages:
        raise entries["stages"].error("the pipeline has no stage", "add one: 'prepare: {notebook: prepare.ipynb}'")
    return PipelineSpec(
        name=name,
        path=path,
        experiment=entries["experiment"].text("experiment") if "experiment" in entries else name,
        stages=stages,
        params=params,
        description=entries["description"].text("description") if "description" in entries else "",
        publish=_publish(entries["publish"]) if "publish" in entries else None,
        version=1,
    )


def _section(entries: dict[str, YamlNode], key: str) -> Iterable[tuple[str, YamlNode]]:
    return entries[key].mapping(f"'{key}'").items() if key in entries else ()


def _stage(name: str, node: YamlNode, stages: tuple[str, ...]) -> StageSpec:
    if not _STAGE_NAME.match(name):
        raise node.error(f"'{name}' cannot be the name of a stage", "use letters, digits, '_' and '-'")
    what = f"stage '{name}'"
    entries = node.record(what, _STAGE, required=("notebook",))
    inputs: dict[str, InputSpec] = {}
    outputs: dict[str, OutputSpec] = {}
    for entry, item in _section(entries, "inputs"):
        inputs[variable(item, "one of the inputs", entry)] = _input(item, item.text(f"'{entry}'"), stages)
    for entry, item in _section(entries, "outputs"):
        outputs[variable(item, "one of the outputs", entry)] = _output(item, item.text(f"'{entry}'"))
    params = _stage_params(entries["params"], what) if "params" in entries else {}
    _check_distinct(node, what, params, inputs, outputs)
    return StageSpec(
        name=name,
        notebook=entries["notebook"].text("notebook"),
        params=params,
        inputs=inputs,
        outputs=outputs,
        timeout=_duration(entries["timeout"]) if "timeout" in entries else None,
        retries=RetrySpec(_count(entries["retries"])) if "retries" in entries else RetrySpec(),
        line=node.line,
        notebook_line=entries["notebook"].line,
    )


def _stage_params(node: YamlNode, what: str) -> dict[str, StageParam]:
    found: dict[str, StageParam] = {}
    if node.is_mapping:
        constants = [node]
    else:
        constants = [item for item in node.items(f"params of {what}") if item.is_mapping]
        for item in node.items(f"params of {what}"):
            if not item.is_mapping:
                name = variable(item, "a parameter", item.text("a parameter's name"))
                if name in found:
                    raise item.error(f"'{name}' is given twice in the params of {what}")
                found[name] = StageParam(line=item.line)
    for table in constants:
        for name, value in table.mapping(f"params of {what}").items():
            if name in found:
                raise value.error(f"'{name}' is given twice in the params of {what}")
            found[variable(value, "a parameter", name)] = StageParam(value.value(), False, value.line)
    return found


def _input(node: YamlNode, text: str, stages: tuple[str, ...]) -> InputSpec:
    stage, dot, output = text.partition(".")
    if dot and stage in stages and output.isidentifier():
        return InputSpec("stage", stage, output, line=node.line)
    return InputSpec("url" if "://" in text else "file", text, line=node.line)


def _output(node: YamlNode, text: str) -> OutputSpec:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise node.error(
            f"output '{text}' must be inside the stage's output folder", "give a relative path such as model.txt"
        )
    return OutputSpec(str(path), line=node.line)


def _check_distinct(
    node: YamlNode,
    what: str,
    params: dict[str, StageParam],
    inputs: dict[str, InputSpec],
    outputs: dict[str, OutputSpec],
) -> None:
    groups: dict[str, str] = {}
    for group, entries in (("params", params), ("inputs", inputs), ("outputs", outputs)):
        for name, entry in entries.items():
            if name in groups:
                message = f"{what} has '{name}' in {groups[name]} and in {group}"
                raise SpecError(message, where=f"{node.file}:{entry.line}", hint="rename one")
            groups[name] = group
    paths: dict[str, str] = {}
    for name, output in outputs.items():
        if output.path in paths:
            raise SpecError(
                f"outputs '{paths[output.path]}' and '{name}' of {what} are the same file",
                where=f"{node.file}:{output.line}",
                hint="give each output a path of its own",
            )
        paths[output.path] = name


def _duration(node: YamlNode) -> float:
    value = node.value()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.match(value.replace(" ", "")) if isinstance(value, str) else None
        parts = match.groups() if match else ()
        seconds = sum(float(part or 0) * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=False))
    if not 0 < seconds < 1e9:
        raise node.error(f"timeout {value!r} is not a duration", "write 90s, 30m, 1h30m or a number of seconds")
    return seconds


def _count(node: YamlNode) -> int:
    value = node.value()
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10:
        raise node.error(f"retries must be a whole number from 0 to 10, not {value!r}")
    return value


def _publish(node: YamlNode) -> PublishSpec:
    entries = node.record("'publish'", _PUBLISH, required=("stage", "as"))
    gate = entries["gate"].items("gate") if "gate" in entries else []
    return PublishSpec(
        stage=entries["stage"].text("stage"),
        name=named(entries["as"], "model", entries["as"].text("as")),
        alias=named(entries["alias"], "alias", entries["alias"].text("alias")) if "alias" in entries else "",
        gate=tuple(_condition(item) for item in gate),
        metrics_from=(entries["metrics_from"] if "metrics_from" in entries else entries["stage"]).text("metrics_from"),
        line=node.line,
        stage_line=entries["stage"].line,
        metrics_line=entries["metrics_from"].line if "metrics_from" in entries else entries["stage"].line,
    )


_IN_CONDITIONS = (
    ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Name, ast.Attribute, ast.Subscript, ast.Constant,
    ast.expr_context, ast.boolop, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
_QUOTED_NAME = re.compile(r"`[^`]*`")


def _condition(node: YamlNode) -> str:
    """A gate condition. Only its syntax is checked here; the registry evaluates it after the run."""
    text = node.text("a gate condition").strip()
    hint = "compare metrics and numbers, for example 'mae < baseline_mae' or 'mae < 0.9 * champion.mae'"
    try:
        tree = ast.parse(_QUOTED_NAME.sub("quoted", text), mode="eval").body
    except UNREADABLE as error:
        raise node.error(f"'{text[:80]}' is not a condition", hint) from error
    known = all(isinstance(part, _IN_CONDITIONS) for part in ast.walk(tree))
    if not known or not isinstance(tree, (ast.Compare, ast.BoolOp)):
        raise node.error(f"'{text[:80]}' is not a condition", hint)
    return text
