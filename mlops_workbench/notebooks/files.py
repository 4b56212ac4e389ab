"""Files that the code of a notebook reads and writes, found in its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from mlops_workbench.notebooks.names.effects import call_effects, magic_code
from mlops_workbench.notebooks.names.used import passed_name
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.notebooks.source import called_name, parse_cell

_FILE, _WRITE = "@file:", "@write:"
#: Stands for the value of a parameter in a path; no path contains it.
_MARK = "\0"
_END = "\1"
_PACKAGE = "mlops_workbench"
_TRANSFERS = ("load", "save")
#: Methods that touch no content of a file.
_NO_CONTENT = ("mkdir", "unlink", "touch", "iterdir")


@dataclass
class NotebookFiles:
    """Files that a notebook reads and writes.

    Attributes
    ----------
    inputs, outputs : list of str
        Parameters whose value is the path of a file that is read or written.
    loads : list of str
        Names given to the workbench's ``load``.
    saves : dict
        Names given to its ``save``, each with the source of the saved value.
    reads, writes : list of str
        Paths that stand in the code itself.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    saves: dict[str, str] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


def notebook_files(trees: Iterable[ast.Module | None], parameters: Mapping[str, Parameter]) -> NotebookFiles:
    """Find the files that a notebook reads and writes.

    Parameters
    ----------
    trees : iterable of ast.Module or None
        Syntax trees of its code cells in order, with magics turned into calls.
    parameters : mapping
        Its parameters. One whose comment begins with ``input`` or ``output`` is a file, too.

    Returns
    -------
    NotebookFiles
        A file that is both written and read is an output.
    """
    parsed = [tree for tree in trees if tree is not None]
    functions, modules = _workbench_names(parsed)
    found = NotebookFiles()
    touched: dict[str, bool] = {}
    paths = {name: f"{_MARK}{name}{_END}" for name in parameters}
    for tree in parsed:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                _assign(paths, node, parameters)
        for node in _calls(tree):
            if _is_workbench(node.func, functions, modules):
                _passed(found, node)
                continue
            if called_name(node.func) in _NO_CONTENT:
                continue
            for effect in call_effects(node, lambda name: paths.get(name, "")):
                if effect.startswith(_FILE):
                    touched.setdefault(effect.removeprefix(_FILE), False)
                elif effect.startswith(_WRITE):
                    touched[effect.removeprefix(_WRITE)] = True
    for path, written in touched.items():
        name = path.removeprefix(_MARK).removesuffix(_END)
        if path == f"{_MARK}{name}{_END}" and name in parameters:
            (found.outputs if written else found.inputs).append(name)
        elif _MARK not in path or (path := _resolved(path, parameters)):
            (found.writes if written else found.reads).append(path)
    for name, parameter in parameters.items():
        word = parameter.help.split()[0].rstrip(":,").lower() if parameter.help.split() else ""
        for kind, names, others in (
            ("input", found.inputs, found.outputs),
            ("output", found.outputs, found.inputs),
        ):
            if word == kind and name not in (*names, *others):
                names.append(name)
    return found


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a cell, also those in ``%time`` and its kin."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        yield node
        if called_name(node.func) == "run_line_magic":
            words = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            code = magic_code(words[0], words[1], None) if len(words) == 2 else None
            inner = parse_cell(code) if code else None
            if inner is not None:
                yield from _calls(inner)


def _assign(paths: dict[str, str], node: ast.Assign | ast.AnnAssign, parameters: Mapping[str, Parameter]) -> None:
    """Follow names that are assigned the text of a path, or a parameter."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        if not isinstance(target, ast.Name) or target.id in parameters:
            continue
        value = node.value
        if isinstance(value, ast.Call) and called_name(value.func) in ("Path", "PurePath", "str") and value.args:
            value = value.args[0]
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and "\n" not in value.value:
            paths[target.id] = value.value
        elif isinstance(value, ast.Name) and value.id in paths:
            paths[target.id] = paths[value.id]
        else:
            paths.pop(target.id, None)


def _resolved(path: str, parameters: Mapping[str, Parameter]) -> str:
    """A path that contains parameters, with their defaults; empty if one is not known."""
    for name, parameter in parameters.items():
        mark = f"{_MARK}{name}{_END}"
        if mark in path:
            if not isinstance(parameter.default, str | PurePath):
                return ""
            path = path.replace(mark, str(parameter.default))
    return path


def _workbench_names(trees: Iterable[ast.Module]) -> tuple[set[str], set[str]]:
    """Which of ``load`` and ``save`` are the workbench's, and the names of the package."""
    functions: set[str] = set()
    modules: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == _PACKAGE:
                functions |= {alias.name for alias in node.names if alias.name in _TRANSFERS and not alias.asname}
            elif isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name for alias in node.names if alias.name == _PACKAGE}
    return functions, modules


def _is_workbench(function: ast.expr, functions: set[str], modules: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in functions
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _TRANSFERS
        and isinstance(function.value, ast.Name)
        and function.value.id in modules
    )


def _passed(found: NotebookFiles, call: ast.Call) -> None:
    name = passed_name(call)
    if not name:
        return
    if called_name(call.func) == "load":
        if name not in found.loads:
            found.loads.append(name)
        return
    value = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "value"), None)
    found.saves[name] = ast.unparse(value) if value is not None else ""
