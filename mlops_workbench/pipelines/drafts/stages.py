"""Stages of a first spec, from what notebooks read, write and declare; pure functions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from mlops_workbench.notebooks.files import NotebookFiles
from mlops_workbench.notebooks.parameters.declared import Parameter

#: Words in the name of a value, or in its source, that tell what it is; tables are the rest.
_ENDINGS = (
    (re.compile(r"(?i)(^|_)(clf|reg|model|estimator|pipeline|classifier|regressor)(_|\d|$)"), ".skops"),
    (re.compile(r"(?i)(^|_)(fig|figure|plot|chart)(_|\d|$)"), ".html"),
    (re.compile(r"(?i)(^|_)(metrics|scores|report|config|settings|summary)(_|\d|$)|^\{"), ".json"),
    (re.compile(r"(?i)(^|_)(array|matrix|embeddings|weights)(_|\d|$)|^np\."), ".npy"),
)


@dataclass(frozen=True)
class NotebookDraft:
    """A notebook that becomes a stage: its absolute path, its parameters, and the files that it reads and writes."""

    path: Path
    parameters: dict[str, Parameter]
    files: NotebookFiles
    tagged: bool = True


@dataclass
class StageDraft:
    """A stage of a first spec.

    Attributes
    ----------
    params : list of Parameter
        Parameters of the notebook that are no files.
    inputs, outputs : dict
        As in a spec.
    notes : list of str
        What a person has to decide or to change.
    needs : list of str
        Stages that it has an edge from.
    """

    name: str
    notebook: str
    params: list[Parameter] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)


def draft_stages(notebooks: Sequence[NotebookDraft], folder: Path) -> list[StageDraft]:
    """Stages for notebooks: what one writes and another reads becomes an edge, which decides the order.

    Parameters
    ----------
    notebooks : sequence of NotebookDraft
        The notebooks; without edges they keep this order.
    folder : Path
        Folder of the spec, to which its paths are relative.
    """
    names = _stage_names(notebooks)
    stages = {
        name: StageDraft(name, Path(os.path.relpath(notebook.path, folder)).as_posix())
        for name, notebook in zip(names, notebooks, strict=True)
    }
    by_path: dict[str, tuple[str, str]] = {}
    by_name: dict[str, list[str]] = {}
    for name, notebook in zip(names, notebooks, strict=True):
        stage = stages[name]
        for output in [*notebook.files.outputs, *notebook.files.saves]:
            if output in stage.outputs:
                continue
            default = _default(notebook, output)
            stage.outputs[output] = _output_path(stage, notebook, output, default)
            by_name.setdefault(output, []).append(name)
            if default:
                by_path[_absolute(notebook, default)] = (name, output)
    for name, notebook in zip(names, notebooks, strict=True):
        stage = stages[name]
        for entry in [*notebook.files.inputs, *notebook.files.loads]:
            if entry not in stage.inputs and entry not in stage.outputs:
                _add_input(stage, notebook, entry, by_path, by_name, folder)
        files = {*stage.inputs, *stage.outputs, *notebook.files.inputs, *notebook.files.outputs}
        stage.params = [parameter for key, parameter in notebook.parameters.items() if key not in files]
        _note_paths_in_code(stage, notebook, folder)
    _note_hidden_edges(stages, dict(zip(names, notebooks, strict=True)))
    return _ordered(stages)


def _stage_names(notebooks: Sequence[NotebookDraft]) -> list[str]:
    found: list[str] = []
    for notebook in notebooks:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", notebook.path.stem).strip("-_")[:56] or "stage"
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found.append(name)
    return found


def _default(notebook: NotebookDraft, name: str) -> str:
    parameter = notebook.parameters.get(name)
    value = parameter.default if parameter is not None and parameter.known else None
    return str(value) if isinstance(value, str | PurePath) and str(value) not in ("", ".") else ""


def _absolute(notebook: NotebookDraft, path: str) -> str:
    """The path as the notebook means it when it runs by hand, in its own folder."""
    return path if "://" in path else os.path.normpath(notebook.path.parent / path)


def _output_path(stage: StageDraft, notebook: NotebookDraft, name: str, default: str) -> str:
    path = PurePosixPath(default).name
    if not path:
        shown = (name, notebook.files.saves.get(name, ""))
        ending = next((end for words, end in _ENDINGS if any(words.search(text) for text in shown)), ".parquet")
        path = f"{name}{ending}"
        stage.notes.append(f"'{name}' is saved as {path}; its ending says the type: correct it if it is another")
    return path if path not in stage.outputs.values() else f"{name}/{path}"


def _add_input(
    stage: StageDraft,
    notebook: NotebookDraft,
    name: str,
    by_path: Mapping[str, tuple[str, str]],
    by_name: Mapping[str, list[str]],
    folder: Path,
) -> None:
    default = _default(notebook, name)
    absolute = _absolute(notebook, default) if default else ""
    source, output = by_path.get(absolute, ("", ""))
    makers = [other for other in by_name.get(name, []) if other != stage.name]
    if not source and len(makers) == 1 and not (absolute and "://" not in absolute and Path(absolute).exists()):
        source, output = makers[0], name
    if source and source != stage.name:
        stage.inputs[name] = f"{source}.{output}"
        if source not in stage.needs:
            stage.needs.append(source)
    elif absolute:
        stage.inputs[name] = absolute if "://" in absolute else Path(os.path.relpath(absolute, folder)).as_posix()
    else:
        stage.notes.append(f"input '{name}' has no path in the notebook: add it to the inputs ({name}: PATH)")


def _note_paths_in_code(stage: StageDraft, notebook: NotebookDraft, folder: Path) -> None:
    for verb, group, paths in (
        ("reads", "input", notebook.files.reads),
        ("writes", "output", notebook.files.writes),
    ):
        for path in dict.fromkeys(paths):
            stage.notes.append(
                f"its code {verb} {path}: move the path to the parameters cell, and it can be an {group}"
            )
    if not notebook.tagged:
        shown = Path(os.path.relpath(notebook.path, folder)).as_posix()
        stage.notes.append(f"{shown} has no cell with the tag 'parameters': 'mlops params NOTEBOOK' proposes one")


def _note_hidden_edges(stages: Mapping[str, StageDraft], notebooks: Mapping[str, NotebookDraft]) -> None:
    """Note files that one stage writes and another reads without an edge: they would run at the same time."""
    for name, notebook in notebooks.items():
        read = {_absolute(notebook, path) for path in notebook.files.reads}
        read |= {_absolute(notebook, _default(notebook, entry)) for entry in notebook.files.inputs}
        for other, maker in notebooks.items():
            if other == name or other in stages[name].needs:
                continue
            for path in maker.files.writes:
                if _absolute(maker, path) in read:
                    stages[name].notes.append(
                        f"it reads {path}, which '{other}' writes at a path in its code: without an edge both run at"
                        " the same time; make it an output there and an input here"
                    )


def _ordered(stages: Mapping[str, StageDraft]) -> list[StageDraft]:
    """Stages after those they need; in a cycle, in the given order."""
    found: dict[str, StageDraft] = {}
    waiting = dict(stages)
    while waiting:
        ready = next(
            (stage for stage in waiting.values() if all(need in found for need in stage.needs)),
            next(iter(waiting.values())),
        )
        found[ready.name] = waiting.pop(ready.name)
    return list(found.values())
