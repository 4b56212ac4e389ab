"""Reads a pipeline spec from YAML; every error names file, line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mlops_workbench.pipelines.definition.checks import check_spec
from mlops_workbench.pipelines.definition.nouns import (
    ParamSpec,
    PipelineSpec,
    PublishSpec,
    StageSpec,
    StartLimits,
    TriggerSpec,
)
from mlops_workbench.pipelines.definition.params import named, read_param
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.definition.publish import read_publish
from mlops_workbench.pipelines.definition.stages import read_stage
from mlops_workbench.pipelines.definition.triggers import read_limits, read_triggers
from mlops_workbench.pipelines.definition.values import count
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode, parse_yaml, read_text

ROOT_KEYS_1 = ("version", "description", "experiment", "params", "stages", "publish")
ROOT_KEYS = (*ROOT_KEYS_1, "on", "max_active")
MOST_ACTIVE = 1000
_VERSIONS = (1, 2)

_Entry = TypeVar("_Entry")


def read_spec(path: Path) -> PipelineSpec:
    """Read a spec and check everything that can be checked without its notebooks.

    Raises
    ------
    SpecError
        Invalid YAML, an unknown or duplicate key, a wrong type; ``where`` is ``file:line:column``. Several errors are
        reported together.
    """
    return parse_spec(read_text(path), path)


def parse_spec(text: str, path: Path) -> PipelineSpec:
    """Read a spec from its text; see `read_spec`.

    Parameters
    ----------
    text : str
        The YAML document.
    path : Path
        The file that contains it, or will contain it; it is not read.
    """
    root = parse_yaml(text, path)
    version = _version(root)
    problems = Problems()
    entries: dict[str, YamlNode] = {}
    with problems.collect():
        known = ROOT_KEYS_1 if version == 1 else ROOT_KEYS
        entries = root.record("the pipeline", known, required=("version", "stages"))
    problems.check()

    name = path.stem
    with problems.collect():
        named(root, "pipeline", name)
    experiment, description, most = name, "", 1
    params: dict[str, ParamSpec] = {}
    stages: dict[str, StageSpec] = {}
    if "experiment" in entries:
        with problems.collect():
            experiment = entries["experiment"].text("experiment")
    if "description" in entries:
        with problems.collect():
            description = entries["description"].text("description")
    if "max_active" in entries:
        with problems.collect():
            most = count(entries["max_active"], "max_active", 1, MOST_ACTIVE)
    with problems.collect():
        params = _each(entries["params"], "'params'", read_param) if "params" in entries else {}
    with problems.collect():
        names = tuple(entries["stages"].mapping("'stages'"))
        if not names:
            raise entries["stages"].error("the pipeline has no stage", "add one: 'prepare: {notebook: prepare.ipynb}'")
        stages = _each(entries["stages"], "'stages'", lambda stage, node: read_stage(stage, node, names, version))
    publish: PublishSpec | None = None
    triggers: tuple[TriggerSpec, ...] = ()
    limits = StartLimits()
    if "publish" in entries:
        with problems.collect():
            publish = read_publish(entries["publish"], version)
    if "on" in entries:
        with problems.collect():
            triggers = read_triggers(entries["on"])
            found = entries["on"].mapping("'on'")
            limits = read_limits(found["limits"]) if "limits" in found else limits
    problems.check()
    spec = PipelineSpec(
        name=name,
        path=path,
        experiment=experiment,
        stages=stages,
        params=params,
        description=description,
        publish=publish,
        triggers=triggers,
        max_active=most,
        limits=limits,
        version=version,
    )
    check_spec(spec)
    return spec


def _version(root: YamlNode) -> int:
    """Version of the format, which decides which keys are known."""
    node = root.mapping("the pipeline").get("version")
    if node is None or node.empty:
        return 2  # a missing version is reported with the other missing keys
    value = node.value()
    if isinstance(value, bool) or not isinstance(value, int) or value not in _VERSIONS:
        raise node.error("version must be 1 or 2", "write 'version: 2'; this workbench reads versions 1 and 2")
    return value


def _each(node: YamlNode, what: str, read: Callable[[str, YamlNode], _Entry]) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    problems = Problems()
    for key, value in node.mapping(what).items():
        with problems.collect():
            found[key] = read(key, value)
    problems.check()
    return found
