"""Data passed to a call: the expression, and its value if it can be determined after the cell."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

from mlops_workbench.capture.observe.scope import Names, resolve
from mlops_workbench.core.members import has, is_a
from mlops_workbench.data.tables.tensors import is_feed, readable

#: Largest number of cells of a table from which a selection is repeated; it takes some tens of milliseconds.
_MAX_CELLS = 1 << 25
_QUICK_CELLS = 1 << 17
_CELL_SECONDS = 2e-9
_LIBRARIES = {"pandas", "numpy", "polars", "scipy", "pyarrow", "geopandas"}
#: Methods that do not change their table and cost no more than a copy.
_PURE = {
    *("drop", "to_numpy", "ravel", "flatten", "astype", "copy", "head", "tail", "isin", "isna", "isnull", "notna"),
    *("notnull", "reset_index", "to_frame", "squeeze", "reshape", "select_dtypes", "filter", "between", "tocsr"),
    *("to_pandas", "set_index", "select", "to_series", "toarray", "dropna", "fillna", "eq", "ne", "gt", "lt"),
    "transpose",
}
_ATTRIBUTES = {"values", "T", "array", "index"}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_JOINED: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}


class NamedData:
    """Data and its expression.

    Parameters
    ----------
    name : str
        The expression.
    node : ast.expr
        Its syntax tree.
    names : mapping
        The namespace after the cell.
    context : str, default="training"
        Use of the data: ``training``, ``validation``, ``test``, ``cross-validation``.
    role : {"X", "y"}, default="X"
        Inputs or target.
    changed : bool, default=False
        Whether the cell changed a name in it later, so that the value is unknown.
    """

    def __init__(
        self,
        name: str,
        node: ast.expr,
        names: Names,
        context: str = "training",
        role: str = "X",
        changed: bool = False,
    ) -> None:
        self.name = name
        self.context = context
        self.role = role
        self._node = node
        self._names = names
        self._changed = changed

    @property
    def known(self) -> bool:
        """Whether its value can be determined."""
        return not self._changed

    @property
    def is_name(self) -> bool:
        """Whether it is a variable, and no selection."""
        return isinstance(self._node, ast.Name)

    @property
    def quick(self) -> bool:
        """Whether its value is a name, or a selection from small tables."""
        return self._cells <= _QUICK_CELLS

    @property
    def seconds(self) -> float:
        """Estimated time to determine its value, in seconds."""
        return self._cells * _CELL_SECONDS

    @property
    def _cells(self) -> int:
        """Number of cells of the largest table that is selected from, 0 for a name."""
        if isinstance(self._node, ast.Name):
            return 0
        used = (self._names.get(part.id) for part in ast.walk(self._node) if isinstance(part, ast.Name))
        return max((math.prod((has(value, "shape") and value.shape) or ()) for value in used), default=0)

    @cached_property
    def value(self) -> Any:
        """The data, looked up or selected again at first access; None when it is unknown."""
        if self._changed:
            return None
        return readable(evaluate(self._node, self._names))


def is_data(value: Any) -> bool:
    """Whether it can be data: a table, an array, a sparse matrix, a list of rows, a tensor, dataset or loader."""
    if type(value) in (list, tuple) or is_a(value, (list, tuple)):
        return len(value) > 0
    if is_feed(value):
        return True
    return has(value, "shape") and bool(value.shape) and not callable(value)


def evaluate(node: ast.expr, names: Names) -> Any:
    """Return the data that an expression selects from tables; None for other or slow expressions.

    Names are looked up, columns and rows selected, values compared, and methods called that do not change a table,
    such as ``drop``. Functions of the user are never called.
    """
    try:
        value = _value(node, names)
        return value if is_data(value) else None
    except Exception:  # noqa: BLE001 a deleted column, an invalid comparison: the value is unknown
        return None


def _value(node: ast.expr, names: Names) -> Any:
    found = resolve(node, names)
    if found is not None:
        return found
    if isinstance(node, ast.Subscript):
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr in ("loc", "iloc"):
            return getattr(_table(owner.value, names), owner.attr)[_argument(node.slice, names)]
        return _table(owner, names)[_argument(node.slice, names)]
    if isinstance(node, ast.Attribute):
        table = _table(node.value, names)
        # ``df.age`` is a column; other attributes may run user code.
        column = node.attr in getattr(table, "columns", ())
        return getattr(table, node.attr) if column or node.attr in _ATTRIBUTES else None
    if isinstance(node, ast.Call):
        return _called(node, names)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _COMPARISONS[type(node.ops[0])](_table(node.left, names), _argument(node.comparators[0], names))
    if isinstance(node, ast.BinOp) and type(node.op) in _JOINED:
        return _JOINED[type(node.op)](_table(node.left, names), _table(node.right, names))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return ~_table(node.operand, names)
    return None


def _called(node: ast.Call, names: Names) -> Any:
    words = {word.arg: _argument(word.value, names) for word in node.keywords if word.arg is not None}
    if not isinstance(node.func, ast.Attribute) or len(words) < len(node.keywords) or words.get("inplace"):
        return None
    if node.func.attr in ("array", "asarray") and len(node.args) == 1 and not words:
        function = resolve(node.func, names)
        return function(_table(node.args[0], names)) if getattr(function, "__module__", "") == "numpy" else None
    if node.func.attr not in _PURE:
        return None
    table = _table(node.func.value, names)
    return getattr(table, node.func.attr)(*(_argument(part, names) for part in node.args), **words)


def _table(node: ast.expr, names: Names) -> Any:
    """Return the value of an expression, which must be a table of a known library.

    Raises
    ------
    ValueError
        It is not a table, or too large.
    """
    value = _value(node, names)
    shape = value.shape if type(value).__module__.partition(".")[0] in _LIBRARIES and has(value, "shape") else ()
    if not shape:
        raise ValueError("not a table")
    if math.prod(shape) > _MAX_CELLS:
        raise ValueError("too large for another selection")
    return value


def _argument(node: ast.expr, names: Names) -> Any:
    """Return labels, numbers, ranges, types, lists of these, masks or indices.

    Raises
    ------
    ValueError
        It is something else.
    """
    if isinstance(node, ast.Tuple):
        return tuple(_argument(part, names) for part in node.elts)
    if isinstance(node, ast.List):
        return [_argument(part, names) for part in node.elts]
    if isinstance(node, ast.Slice):
        return slice(
            *(None if part is None else _argument(part, names) for part in (node.lower, node.upper, node.step))
        )
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_argument(node.operand, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _argument(node.left, names), _argument(node.right, names)
        if type(left) is type(right) and type(left) in (int, str, list, tuple):
            return left + right
        raise ValueError("not a selection of rows or columns")
    if isinstance(node, ast.Name) and node.id in ("float", "int", "str", "bool") and node.id not in names:
        return {"float": float, "int": int, "str": str, "bool": bool}[node.id]
    value = _value(node, names)
    plain = is_a(value, (str, int, float, slice, list, tuple, type))
    if not plain and not has(value, "dtype") and not has(value, "isoformat"):
        raise ValueError("not a selection of rows or columns")
    return value
