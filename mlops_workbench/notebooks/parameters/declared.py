"""The parameters of a notebook, assigned in its cell tagged ``parameters``."""

from __future__ import annotations

import ast
import contextlib
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import UNREADABLE, InvalidInput
from mlops_workbench.notebooks.document import PARAMETERS_TAG, tagged_cell
from mlops_workbench.notebooks.parameters.annotations import (
    help_of_annotation,
    is_open,
    parse_type,
    type_of_annotation,
)
from mlops_workbench.notebooks.parameters.constants import Unknown, constant
from mlops_workbench.notebooks.parameters.types import ParameterType, type_of_value
from mlops_workbench.notebooks.source import root_name, without_magics

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
            if not self.declared and (wider := _wider(self.type)) != self.type:
                with contextlib.suppress(InvalidInput):
                    return wider.convert(value)
            raise InvalidInput(f"{self.name}: {error.message}", hint=error.hint) from error


def _wider(kind: ParameterType) -> ParameterType:
    """Return the type with floats for integers: a default of 1 does not say that 0.5 is wrong."""
    return replace(kind, kind="float" if kind.kind == "int" else kind.kind, items=tuple(map(_wider, kind.items)))


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
        changed = _changed(statement)
        for name in changed & found.keys():
            found[name] = replace(found[name], known=False, default=None)
        for name in _defined(statement):
            found.pop(name, None)
        for name, annotation, value in _assignments(statement):
            comment = comments.get(statement.end_lineno or 0) or comments.get(statement.lineno, "")
            found.pop(name, None)
            found[name] = _parameter(name, annotation, value, comment, statement.lineno, source)
    return found


def _changed(statement: ast.stmt) -> set[str]:
    """Names whose value depends on what the statement does: it is no longer that of the assignment."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.AnnAssign)):
        return set()
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(node.id)
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(root_name(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            # `columns.append("x")`, but not `print(columns)`
            found.add(root_name(node.value.func) if isinstance(node.value.func, ast.Attribute) else "")
    return found


def _defined(statement: ast.stmt) -> list[str]:
    """Names that the statement binds to what is no parameter, or deletes."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Delete):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []


def _parse(source: str, where: str | None) -> tuple[ast.Module, str]:
    source = without_magics(source)
    try:
        return ast.parse(source), source
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
    open_type = annotation is None or is_open(annotation)
    kind = None if annotation is None or open_type else type_of_annotation(annotation)
    if comment.startswith("type:"):  # papermill accepts a type comment as an annotation
        typed, comment = _type_comment(comment.removeprefix("type:").strip())
        kind = kind or typed
    known, default = _evaluate(value)
    if kind is not None and known and default is None and value is not None:
        # `since: date = None` has always meant an optional date.
        kind = replace(kind, optional=True)
    return Parameter(
        name=name,
        type=kind or (type_of_value(default) if known else ParameterType("any", optional=True)),
        declared=kind is not None,
        required=value is None,
        default=default,
        known=known,
        expression="" if value is None else ast.get_source_segment(source, value) or ast.unparse(value),
        help=comment or (help_of_annotation(annotation) if annotation is not None else ""),
        line=line,
    )


def _type_comment(text: str) -> tuple[ParameterType | None, str]:
    """Return the type at the beginning of a comment and the rest: ``dict[str, int] by name``."""
    words = text.split(" ")
    for count in range(1, len(words) + 1):
        typed = " ".join(words[:count])
        if typed.count("[") == typed.count("]"):
            try:
                return parse_type(typed), " ".join(words[count:]).strip()
            except InvalidInput:
                break
    return None, " ".join(words[1:])


def _evaluate(node: ast.expr | None) -> tuple[bool, object]:
    """Return whether the value of an expression is known without running it, and the value."""
    if node is None:
        return False, None
    try:
        return True, constant(node)
    except Unknown:
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
