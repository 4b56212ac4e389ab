"""The cell with parameters that a notebook without one could have."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.document import INJECTED_TAG, cell_tags
from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.names.free_names import free_names
from mlops_workbench.notebooks.names.nouns import ACCUMULATING, CellNames
from mlops_workbench.notebooks.parameters.declared import Parameter, parse_parameters
from mlops_workbench.notebooks.source import called_name, parse_cell, without_magics

if TYPE_CHECKING:
    from nbformat import NotebookNode

_SEED_ARGUMENTS = ("seed", "random_state", "random_seed")
_SEED_CALLS = ("seed", "default_rng", "manual_seed", "set_seed", "RandomState", "PRNGKey", "seed_everything")


@dataclass(frozen=True)
class Proposal:
    """A cell to tag, or to insert.

    Attributes
    ----------
    index : int
        Index of the cell that is tagged, or that the new cell gets.
    new : bool
        Whether the cell is inserted. It repeats assignments that stand before it, so that no other cell changes.
    source : str
        Source of the cell.
    parameters : dict
        The parameters that the notebook then has; empty if nothing can be proposed.
    notes : tuple of str
        What could be parameters after a change of the notebook.
    """

    index: int
    new: bool
    source: str
    parameters: dict[str, Parameter]
    notes: tuple[str, ...]


@dataclass
class _Cell:
    """A code cell: its index, its tree, the names it uses, and the parameters that it would have."""

    index: int
    source: str
    tree: ast.Module
    names: CellNames
    reads: set[str] = field(default_factory=set)
    literals: dict[str, Parameter] = field(default_factory=dict)


def propose(notebook: NotebookNode) -> Proposal:
    """Propose a cell with parameters: literals that one cell assigns to names and later cells read.

    A cell that holds nothing but such assignments is tagged as it is. Else a new cell repeats the assignments where
    all of them stand before it and nothing that reads the names does.
    """
    cells = list(_cells(notebook))
    _add_reads(cells)
    first_reads = _candidates(cells)
    existing = max(
        (cell for cell in cells if _is_pure(cell, cells) and first_reads.keys() & cell.literals.keys()),
        key=lambda cell: len(first_reads.keys() & cell.literals.keys()),
        default=None,
    )
    if existing is not None:
        index, new, source, parameters = existing.index, False, existing.source, existing.literals
    else:
        index, chosen = _place(cells, first_reads)
        new, source = (
            True,
            "\n".join(_statement(cell, name) for cell in cells for name in cell.literals if name in chosen),
        )
        parameters = parse_parameters(source)
    return Proposal(index, new, source, parameters, tuple(_notes(cells, parameters, first_reads)))


def _cells(notebook: NotebookNode) -> Iterator[_Cell]:
    for index, cell in enumerate(notebook.cells):
        tree = parse_cell(without_magics(cell.source)) if cell.cell_type == "code" else None
        if tree is None or INJECTED_TAG in cell_tags(cell):
            continue
        found = _Cell(index, cell.source, tree, cell_names(tree, parse_cell))
        try:
            assigned = parse_parameters(cell.source)
        except InvalidInput:
            assigned = {}
        found.literals = {name: item for name, item in assigned.items() if item.known and _is_setting(name, item)}
        yield found


def _is_setting(name: str, parameter: Parameter) -> bool:
    # What begins empty is filled later.
    empty = isinstance(parameter.default, (list, dict, set)) and not parameter.default
    return not name.startswith("_") and not empty


def _add_reads(cells: list[_Cell]) -> None:
    """Set the names that the cells read when they run, also in functions that they call."""
    bodies: dict[str, set[str]] = {}
    for cell in cells:
        for name, used in _bodies(cell.tree):
            bodies.setdefault(name, set()).update(used)
        waiting = set(cell.names.reads)
        while waiting:
            name = waiting.pop()
            cell.reads.add(name)
            waiting |= bodies.get(name, set()) - cell.reads


def _bodies(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Yield names of functions, classes and lambdas with the names that their code uses."""
    for statement in tree.body:
        names: list[str] = []
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [statement.name]
        elif isinstance(statement, ast.Assign):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        used: set[str] = set()
        for node in ast.walk(statement) if names else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                used |= free_names(node)
        for name in names:
            yield name, used


def _candidates(cells: list[_Cell]) -> dict[str, int]:
    """Names that a single cell assigns and later cells read, with the index of the first of these."""
    found: dict[str, int] = {}
    for cell in cells:
        for name, parameter in cell.literals.items():
            later = [other.index for other in cells if other.index > cell.index and name in other.reads]
            if later and _is_constant(name, parameter, cell, cells):
                found[name] = later[0]
    return found


def _is_constant(name: str, parameter: Parameter, cell: _Cell, cells: list[_Cell]) -> bool:
    """Whether no other cell assigns or changes the name."""
    mutable = isinstance(parameter.default, (list, dict, set))
    for other in cells:
        if other is not cell and name in other.names.writes | other.names.deletes:
            return False
        if mutable and any(use.name == name and use.method in ACCUMULATING for use in other.names.methods):
            return False
    return True


def _is_pure(cell: _Cell, cells: list[_Cell]) -> bool:
    """Whether a cell holds nothing but literal assignments, and imports for them."""
    for statement in cell.tree.body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant()):
                continue
            case ast.Assign(targets) if all(isinstance(target, ast.Name) for target in targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(ast.Name(name), value=value) if value is not None:
                names = [name]
            case _:
                return False
        if not all(name in cell.literals and _is_constant(name, cell.literals[name], cell, cells) for name in names):
            return False
    return without_magics(cell.source) == cell.source


def _place(cells: list[_Cell], first_reads: Mapping[str, int]) -> tuple[int, set[str]]:
    """Index of a new cell that has most of the names, and these names."""
    best: tuple[int, set[str]] = (0, set())
    for cell in cells:
        place = cell.index + 1
        names = {
            name
            for other in cells
            for name in other.literals
            if name in first_reads and other.index < place <= first_reads[name] and name not in other.reads
        }
        if len(names) > len(best[1]):
            best = (place, names)
    return best


def _statement(cell: _Cell, name: str) -> str:
    """Source of the assignment, with the comment behind it if it has its lines for itself."""
    parameter = cell.literals[name]
    lines = without_magics(cell.source).splitlines()
    statement = next(item for item in cell.tree.body if item.lineno <= parameter.line <= (item.end_lineno or 0))
    end = statement.end_lineno or statement.lineno
    beside = [item for item in cell.tree.body if item.lineno <= end and (item.end_lineno or 0) >= statement.lineno]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if (
        len(beside) == 1
        and len(targets) < 2
        and not any(isinstance(target, (ast.Tuple, ast.List)) for target in targets)
    ):
        return "\n".join(lines[statement.lineno - 1 : end])
    expression = parameter.expression
    return f"{name} = ({expression})" if "\n" in expression else f"{name} = {expression}"


def _notes(cells: list[_Cell], parameters: Mapping[str, Parameter], first_reads: Mapping[str, int]) -> Iterator[str]:
    for cell in cells:
        for name in cell.literals:
            if name in parameters or not _is_constant(name, cell.literals[name], cell, cells):
                continue
            if name in cell.reads or name in first_reads:
                yield f"cell {cell.index + 1} assigns '{name}': move it to the cell with the parameters"
    for cell in cells:
        paths = sorted({effect.removeprefix("@file:") for effect in cell.names.effects if effect.startswith("@file:")})
        for path in paths:
            yield f"cell {cell.index + 1} uses the path '{path}': assign it to a name to make it a parameter"
        for seed in _seeds(cell.tree):
            yield f"cell {cell.index + 1} uses the seed {seed}: assign it to a name to make it a parameter"


def _seeds(tree: ast.Module) -> list[int]:
    found: set[int] = set()
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            given = [word.value for word in call.keywords if word.arg in _SEED_ARGUMENTS]
            given += call.args[:1] if called_name(call) in _SEED_CALLS else []
            found |= {node.value for node in given if isinstance(node, ast.Constant) and type(node.value) is int}
    return sorted(found)
