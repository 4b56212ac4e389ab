"""``schedules.yaml``: notebooks of the workspace that run by themselves."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import check_name
from mlops_workbench.pipelines.definition.nouns import StartLimits, TriggerSpec
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.definition.triggers import SCHEDULE_KEYS, read_limits, read_schedule
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode, parse_yaml
from mlops_workbench.pipelines.triggers.targets import Target

SCHEDULES_FILE = "schedules.yaml"
_KEYS = ("notebook", *SCHEDULE_KEYS, "params", "limits")


def parse_schedules(text: str, path: Path) -> list[Target]:
    """Read the file.

    Raises
    ------
    SpecError
        It is not valid; ``where`` is ``file:line:column``. Several errors are reported together.
    """
    if not text.strip():
        return []
    root = parse_yaml(text, path)
    entries = root.record("the file", ("version", "schedules"), required=("version",))
    if entries["version"].value() != 1:
        raise entries["version"].error("version must be 1", "write 'version: 1'")
    found: list[Target] = []
    problems = Problems()
    for name, node in entries["schedules"].mapping("'schedules'").items() if "schedules" in entries else ():
        with problems.collect():
            found.append(_target(name, node, path))
    problems.check()
    return found


def _target(name: str, node: YamlNode, path: Path) -> Target:
    try:
        check_name("schedule", name)
    except InvalidInput as error:
        raise node.key_error(error.message, error.hint) from error
    entries = node.record(f"'{name}'", _KEYS, required=("notebook", "cron"))
    problems = Problems()
    notebook, settings, limits, params = "", {}, StartLimits(), {}
    with problems.collect():
        notebook = _notebook(entries["notebook"])
    with problems.collect():
        settings = read_schedule({key: entries[key] for key in SCHEDULE_KEYS if key in entries})
    if "limits" in entries:
        with problems.collect():
            limits = read_limits(entries["limits"])
    if "params" in entries:
        with problems.collect():
            params = {key: _plain(value.value()) for key, value in entries["params"].mapping("'params'").items()}
    problems.check()
    trigger = TriggerSpec("schedule", settings, node.place)
    return Target("notebook", name, str(path.parent), (trigger,), 1, limits, notebook, params)


def _plain(value: object) -> object:
    """A value as JSON has it; the type of the parameter reads a date from text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


def _notebook(node: YamlNode) -> str:
    text = node.text("notebook")
    plain = os.path.normpath(text)
    if Path(plain).is_absolute() or plain.startswith("..") or "\0" in plain:
        raise node.error(f"'{text[:80]}' is not in the workspace", "give a path relative to the workspace")
    return plain
