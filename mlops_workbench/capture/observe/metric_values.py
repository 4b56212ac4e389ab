"""Conversion of measured values to numbers, histories and tables."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_workbench.capture.observe.measures import Kind
from mlops_workbench.core.members import has, is_a

_MAX_ITEMS = 300
_MAX_DEPTH = 4
_MAX_STEPS = 100_000
_MAX_CURVE = 5_000
_MAX_SIDE = 200


class Measurements:
    """Measured values of a cell by name.

    Attributes
    ----------
    values : dict
        Single numbers.
    histories : dict
        First step, and the numbers of successive steps.
    tables : dict
        Arrays with one or two dimensions, tables, and curves as columns by name.
    """

    def __init__(self) -> None:
        self.values: dict[str, float | int] = {}
        self.histories: dict[str, tuple[int, list[float | int]]] = {}
        self.tables: dict[str, Any] = {}
        self._owners: dict[str, str] = {}

    def put(self, name: str, value: Any, kind: Kind, otherwise: str = "") -> None:
        """Add the numbers in `value`.

        Parameters
        ----------
        name : str
            Its name.
        value : object
            A number, a container of numbers, or anything else, which is ignored.
        kind : str
            Its origin: arrays of folds are summarized, and of the values of user functions only floats
            are used.
        otherwise : str, optional
            Name to use if another value has the first one.
        """
        if otherwise and self._owners.setdefault(name, otherwise) != otherwise:
            name = otherwise
        self._spread(name, value, kind, 0)

    def history(self, name: str, values: Sequence[Any], start: int = 0) -> None:
        """Add the values from index `start` on as successive steps, if all of them are numbers."""
        found = [number(value) for value in values[start : start + _MAX_STEPS]]
        if found and all(value is not None for value in found) and not name.startswith("_"):
            self.histories[name] = (start, [value for value in found if value is not None])

    def curve(self, name: str, columns: Mapping[str, Any]) -> None:
        """Add arrays that belong together, such as those of ``roc_curve``."""
        if all(len(column) <= _MAX_CURVE for column in columns.values()) and not name.startswith("_"):
            self.tables[name] = dict(columns)

    def learning_curves(self, curves: Mapping[str, Any], owner: str) -> None:
        """Add the metrics of epochs.

        Parameters
        ----------
        curves : mapping
            Names to lists of numbers, or data sets to such mappings.
        owner : str
            Prefix for names that exist already.
        """
        for name, values in curves.items():
            if not isinstance(name, str):
                continue
            if isinstance(values, Mapping):
                self.learning_curves({f"{name}/{key}": item for key, item in values.items()}, owner)
            elif type(values) is list:
                exists = name in self.values or name in self.histories
                self.history(f"{owner}/{name}" if exists and owner else name, values)

    def _spread(self, name: str, value: Any, kind: Kind, depth: int) -> None:
        single = number(value)
        if single is not None:
            if kind != "own" or isinstance(single, float):
                self.values.pop(name, None)
                self.values[name] = single
        elif depth <= _MAX_DEPTH:
            add = next((add for test, add in _FORMS if test(value)), None)
            if add is not None:
                add(self, name, value, kind, depth)

    def _items(self, name: str, value: Any, kind: Kind, depth: int) -> None:
        items = list(value.items())
        for key, item in items if len(items) <= _MAX_ITEMS else ():
            if isinstance(key, str | int | float | tuple) and not isinstance(key, bool):
                self._spread(f"{name}/{key}", item, kind, depth + 1)

    def _sequence(self, name: str, value: Sequence[Any], kind: Kind, depth: int) -> None:
        if kind == "folds":
            self._folds(name, value)
        elif type(value) is list:
            self.history(name, value)
        elif len(value) <= _MAX_ITEMS:
            for i, item in enumerate(value):
                self._spread(f"{name}/{i}", item, kind, depth + 1)

    def _frame(self, name: str, value: Any, kind: Kind, depth: int) -> None:
        if kind == "folds":
            self._items(name, value, kind, depth)
        else:
            self._table(name, value, kind, _MAX_CURVE)

    def _vector(self, name: str, value: Any, kind: Kind, depth: int) -> None:
        if kind == "folds":
            self._folds(name, value)
        elif has(value, "index", "items"):
            self._items(name, value, kind, depth)
        else:
            self._table(name, value, kind, _MAX_SIDE)

    def _matrix(self, name: str, value: Any, kind: Kind, depth: int) -> None:
        self._table(name, value, kind, _MAX_SIDE)

    def _table(self, name: str, value: Any, kind: Kind, rows: int) -> None:
        if kind == "metric" and value.shape[0] <= rows and max(value.shape[1:], default=0) <= _MAX_SIDE:
            self.tables[name] = value

    def _folds(self, name: str, values: Any) -> None:
        found = [number(value) for value in (values.tolist() if has(values, "tolist") else list(values))]
        numbers_ = [float(value) for value in found if value is not None]
        if not numbers_ or len(numbers_) != len(found):
            return
        mean = math.fsum(numbers_) / len(numbers_) if all(map(math.isfinite, numbers_)) else sum(numbers_) / len(found)
        self.values[name] = mean
        self.values[f"{name}_std"] = math.sqrt(sum((value - mean) ** 2 for value in numbers_) / len(numbers_))
        self.histories[f"{name}_fold"] = (0, list(numbers_))


#: Forms of values: a test, and the method that adds values of the form.
_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Measurements, str, Any, Kind, int], None]], ...] = (
    (lambda value: is_a(value, Mapping), Measurements._items),
    (lambda value: type(value) in (list, tuple), Measurements._sequence),
    (lambda value: has(value, "columns", "items", "shape"), Measurements._frame),
    (lambda value: has(value, "ndim", "dtype") and value.ndim == 1, Measurements._vector),
    (lambda value: has(value, "ndim", "shape") and value.ndim == 2, Measurements._matrix),
)


def number(value: Any) -> float | int | None:
    """Return a single number as an int or a float; None for anything else, including booleans."""
    if has(value, "dtype", "ndim", "item") and value.ndim == 0:
        value = value.item()
    if is_a(value, bool):
        return None
    if is_a(value, numbers.Integral):
        return int(value)
    return float(value) if is_a(value, numbers.Real) else None
