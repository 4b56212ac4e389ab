"""Injection of exact parameter values into a notebook, as a cell tagged ``injected-parameters`` like papermill's."""

from __future__ import annotations

import ast
import copy
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.document import INJECTED_TAG, PARAMETERS_TAG, tagged_cell
from mlops_workbench.notebooks.parameters.literals import LiteralWriter
from mlops_workbench.notebooks.source import parse_cell, without_magics

if TYPE_CHECKING:
    from nbformat import NotebookNode

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def injected_source(
    values: Mapping[str, object], secrets: Mapping[str, str] | None = None, *, taken: Iterable[str] = ()
) -> str:
    """Return Python code that assigns exactly these values to these names.

    Parameters
    ----------
    values : mapping
        Names to values: None, bool, int, float, complex, str, bytes, Path, date, time, datetime, timedelta,
        Decimal, NumPy scalars, and lists, tuples, sets, frozensets and dicts of them.
    secrets : mapping, optional
        Names to the environment variables that the code reads their values from.
    taken : iterable of str, optional
        Names that mean something else where the code runs.

    Returns
    -------
    str
        Code that produces equal values of the same types. Modules are imported under names with an underscore, to
        not overwrite names of the notebook.

    Raises
    ------
    InvalidInput
        A name is not a Python identifier or is given twice, or a value cannot be written exactly as code.
    """
    secrets = secrets or {}
    for name in (*values, *secrets):
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidInput(f"'{name}' is not a valid parameter name", hint="use a Python variable name")
        if name in values and name in secrets:
            raise InvalidInput(f"{name}: it is a secret, so no value can be given")
    writer = LiteralWriter({*values, *secrets, *taken})
    lines = []
    for name, value in values.items():
        try:
            lines.append(f"{name} = {writer.code(value)}")
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from error
    for name, variable in secrets.items():
        lines += _secret(name, check_variable(variable), writer)
    return "\n".join(["# Parameters", *writer.imports(), *lines])


def check_variable(name: str) -> str:
    """Return the name of an environment variable, checked.

    Raises
    ------
    InvalidInput
        It is not one.
    """
    if not _VARIABLE.match(name):
        raise InvalidInput(
            f"'{name}' is not the name of an environment variable", hint="use letters, digits and '_': API_TOKEN"
        )
    return name


def inject(
    notebook: NotebookNode, values: Mapping[str, object], secrets: Mapping[str, str] | None = None
) -> NotebookNode:
    """Return a copy of a notebook with the values injected.

    As in papermill, the cell replaces an earlier injected one, else follows the ``parameters`` cell, else comes first.

    Raises
    ------
    InvalidInput
        See `injected_source`.
    """
    from mlops_workbench.notebooks.format import nbformat

    result: NotebookNode = copy.deepcopy(notebook)
    earlier, parameters = tagged_cell(result, INJECTED_TAG), tagged_cell(result, PARAMETERS_TAG)
    place = earlier if earlier is not None else 0 if parameters is None else parameters + 1
    source = injected_source(values, secrets, taken=_bound(result, place))
    cell = nbformat.v4.new_code_cell(source=source)  # type: ignore[no-untyped-call]
    cell.metadata["tags"] = [INJECTED_TAG]
    if (result.nbformat, result.nbformat_minor) < (4, 5):
        del cell["id"]  # formats before 4.5 do not allow cell ids
    if earlier is not None:
        result.cells[earlier] = cell
    else:
        result.cells.insert(place, cell)
    return result


def _secret(name: str, variable: str, writer: LiteralWriter) -> list[str]:
    environ = f"{writer.module('os')}.environ"
    message = f"the secret '{name}' is read from the environment variable {variable}, which is not set"
    return [
        f'if "{variable}" not in {environ}:',
        f"    raise {writer.builtin('RuntimeError')}({message!r})",
        f'{name} = {environ}["{variable}"]',
    ]


def _bound(notebook: NotebookNode, end: int) -> set[str]:
    """Names that the code cells before `end` bind: a cell may use ``set`` as a variable."""
    found: set[str] = set()
    for cell in notebook.cells[:end]:
        tree = parse_cell(without_magics(cell.source)) if cell.cell_type == "code" else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.alias):
                found.add(node.asname or node.name.partition(".")[0])
    return found
