"""The text of a first spec."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mlops_workbench.core.errors import SpecError
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.pipelines.definition.params import read_param
from mlops_workbench.pipelines.definition.yaml_nodes import parse_yaml
from mlops_workbench.pipelines.drafts.stages import StageDraft

_EXAMPLES = """
# What a pipeline can do besides; remove the '#':
# publish: {model: STAGE, as: NAME, alias: challenger}
# on:
#   schedule: {cron: "0 6 * * 1", timezone: Europe/Paris}
"""


def spec_text(stages: Sequence[StageDraft], schema: str, problems: Sequence[str] = ()) -> str:
    """Text of a spec.

    Parameters
    ----------
    stages : sequence of StageDraft
        Its stages in order.
    schema : str
        Path of the JSON Schema, relative to the spec, for editors.
    problems : sequence of str
        What keeps it from running, written as comments.
    """
    lines = [f"# yaml-language-server: $schema={schema}"]
    if problems:
        lines.append("# It does not run yet:")
        lines += [f"#   {line}" for problem in problems for line in problem.splitlines()]
    lines.append("version: 2")
    shared: dict[str, Parameter] = {}
    written: dict[str, Any] = {}
    for stage in stages:
        for parameter in stage.params:
            form = _form(parameter)
            if form is not None and parameter.name not in shared:
                shared[parameter.name] = parameter
                written[parameter.name] = form[0]
    if written:
        lines += ["params:", *(f"  {name}: {_flow(form)}" for name, form in written.items())]
    lines.append("stages:")
    for stage in stages:
        lines += _stage_lines(stage, shared)
    return "\n".join(lines) + "\n" + _EXAMPLES


def _stage_lines(stage: StageDraft, shared: dict[str, Parameter]) -> list[str]:
    lines = [f"  {stage.name}:", f"    notebook: {_flow(stage.notebook)}"]
    names: list[Any] = []
    left: list[str] = []
    for parameter in stage.params:
        common = shared.get(parameter.name)
        if common is None:
            if not parameter.required:
                left.append(parameter.name)
        elif _same(common, parameter):
            names.append(parameter.name)
        elif _form(parameter) is not None and not parameter.required:
            # The notebooks disagree about the default, so that this one keeps its own.
            names.append({parameter.name: parameter.default})
        else:
            names.append(parameter.name)
    if names:
        lines.append(f"    params: {_flow(names)}")
    for group, entries in (("inputs", stage.inputs), ("outputs", stage.outputs)):
        if entries:
            lines += [f"    {group}:", *(f"      {name}: {_flow(path)}" for name, path in entries.items())]
    if left:
        lines.append(f"    # keeps its own default of: {', '.join(left)}")
    lines += [f"    # {note}" for note in stage.notes]
    return lines


def _same(first: Parameter, second: Parameter) -> bool:
    return first.type == second.type and first.required == second.required and first.default == second.default


def _form(parameter: Parameter) -> tuple[Any] | None:
    """How a parameter is written in a spec, in a tuple; None if a spec cannot say it."""
    if not parameter.known and not parameter.required:
        return None
    kind = parameter.type
    plain = dataclasses.replace(kind, optional=False)
    text = f"{plain} | None" if kind.optional else str(plain)
    typed: dict[str, Any] = {"choices": list(kind.choices)} if kind.kind == "choice" else {"type": text}
    if not parameter.required:
        typed["default"] = str(parameter.default) if kind.kind == "path" else parameter.default
    if parameter.help:
        typed["help"] = parameter.help
    forms: list[Any] = [typed]
    if not parameter.required and not parameter.help:
        forms.insert(0, parameter.default)
    for form in forms:
        try:
            text = _flow(form)
            if "\n" in text:
                continue  # bytes, which a person cannot edit
            read = read_param(parameter.name, parse_yaml(text, Path("spec.yaml")))
        except (SpecError, yaml.YAMLError):
            continue
        same = read.type == kind and read.required == parameter.required
        if same and type(read.default) is type(parameter.default) and read.default == parameter.default:
            return (form,)
    return None


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n...\n").strip()
