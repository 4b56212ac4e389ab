"""The parameters of a notebook, assigned in its cell tagged ``parameters``."""

from __future__ import annotations

import ast
import contextlib
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import UNREADABLE, InvalidInput
from mlops_workbench.notebooks.document import PARAMETERS_TAG, tagged_cell
from mlops_workbench.notebooks.parameters.types import ParameterType, parse_type, type_of_annotation, type_of_value

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook.

    Attributes
    ----------
    name : str
        Variable name.
    type : ParameterType
        From the annotation, else from the default.
    declared : bool
        Whether the type is annotated; a type derived from the default converts text, but accepts any other value.
    required : bool
        Whether it has no default (``x: int``).
    default : object
        Value of the default; None when `required` or not `known`.
    known : bool
        Whether the default is a literal, or built from literals (``Path("data")``, ``date(2026, 1, 1)``).
    expression : str
        Source of the default, empty when `required`.
    help : str
        The comment after it.
    line : int
        Line in the cell, from 1.
    """

    name: str
    type: ParameterType
    declared: bool
    required: bool
    default: object
    known: bool
    expression: str
    help: str
    line: int

    def convert(self, value: object) -> object:
        """Convert a value to the type of the parameter.

        Raises
        ------
        InvalidInput
            The value cannot be converted to the declared type; the message names the parameter.
        """
        if not self.declared and not isinstance(value, str):
            return value
        try:
            return self.type.convert(value)
        except InvalidInput as error:
            raise InvalidInput(f"{self.name}: {error.message}", hint=error.hint) from error


def notebook_parameters(notebook: NotebookNode, *, where: str | None = None) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name, in order; empty without a cell tagged ``parameters``.

    Raises
    ------
    InvalidInput
        The cell is not valid Python.
    """
    index = tagged_cell(notebook, PARAMETERS_TAG)
    if index is None or notebook.cells[index].cell_type != "code":
        return {}
    place = f"{where}, cell {index + 1}" if where else f"cell {index + 1}"
    return parse_parameters(notebook.cells[index].source, where=place)


def parse_parameters(source: str, *, where: str | None = None) -> dict[str, Parameter]:
    """Return the parameters that the top-level statements of a cell assign; a later assignment wins.

    Parameters
    ----------
    source : str
        Source of the cell; lines of IPython magic are ignored.
    where : str, optional
        Place of the cell, for error messages.

    Raises
    ------
    InvalidInput
        The source is not valid Python.
    """
    tree, source = _parse(source, where)
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        for name, annotation, value in _assignments(statement):
            comment = comments.get(statement.end_lineno or 0) or comments.get(statement.lineno, "")
            found.pop(name, None)
            found[name] = _parameter(name, annotation, value, comment, statement.lineno, source)
    return found


def _parse(source: str, where: str | None) -> tuple[ast.Module, str]:
    try:
        return ast.parse(source), source
    except UNREADABLE:
        lines = source.splitlines()
        # Blank lines keep the line numbers.
        plain = "\n".join("" if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)
    try:
        return ast.parse(plain), plain
    except UNREADABLE as error:
        line = getattr(error, "lineno", None)
        raise InvalidInput(
            f"the parameters cell is not valid Python: {getattr(error, 'msg', None) or error}",
            where=(f"{where}, line {line}" if where and line else where),
            hint="assign one parameter per line, such as 'depth: int = 3  # depth of a tree'",
        ) from error


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id, statement.annotation, statement.value
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id, None, statement.value
            elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(statement.value, (ast.Tuple, ast.List)):
                places, values = target.elts, statement.value.elts
                if len(places) == len(values):
                    for place, value in zip(places, values, strict=True):
                        if isinstance(place, ast.Name):
                            yield place.id, None, value


def _parameter(
    name: str, annotation: ast.expr | None, value: ast.expr | None, comment: str, line: int, source: str
) -> Parameter:
    kind = type_of_annotation(annotation) if annotation is not None else None
    words = comment.split(None, 2)
    if words[:1] == ["type:"] and len(words) > 1:  # papermill accepts a type comment as an annotation
        comment = words[2] if len(words) > 2 else ""
        with contextlib.suppress(InvalidInput):
            kind = kind or parse_type(words[1])
    known, default = _evaluate(value) if value is not None else (False, None)
    return Parameter(
        name=name,
        type=kind or (type_of_value(default) if known else ParameterType("any", optional=True)),
        declared=kind is not None,
        required=value is None,
        default=default,
        known=known,
        expression="" if value is None else ast.get_source_segment(source, value) or ast.unparse(value),
        help=comment,
        line=line,
    )


_CALLS = {
    "Path": Path,
    "date": date,
    "datetime": datetime,
    "Decimal": Decimal,
    "float": float,
    "set": set,
    "dict": dict,
}


def _evaluate(node: ast.expr) -> tuple[bool, object]:
    """Return whether the value of an expression is known without running it, and the value."""
    try:
        return True, ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if not isinstance(node, ast.Call):
        return False, None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    call = _CALLS.get(name)
    if call is None or any(keyword.arg is None for keyword in node.keywords):
        return False, None
    arguments = [_evaluate(argument) for argument in node.args]
    keywords = {str(keyword.arg): _evaluate(keyword.value) for keyword in node.keywords}
    if not all(known for known, _ in (*arguments, *keywords.values())):
        return False, None
    try:
        return True, call(*(value for _, value in arguments), **{key: value for key, (_, value) in keywords.items()})
    except (TypeError, ValueError, ArithmeticError):
        return False, None


def _comments(source: str) -> dict[int, str]:
    """Return the comments by line, for lines that also contain code."""
    found: dict[int, str] = {}
    code: set[int] = set()
    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("#").strip()
            elif token.type not in layout:
                code.update(range(token.start[0], token.end[0] + 1))
    except (tokenize.TokenError, IndentationError):
        return {}
    return {line: text for line, text in found.items() if line in code}
