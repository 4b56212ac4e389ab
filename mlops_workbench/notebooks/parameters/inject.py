"""Injection of exact parameter values into a notebook, as a cell tagged ``injected-parameters`` like papermill's."""

from __future__ import annotations

import copy
import datetime
import decimal
import keyword
import math
import pathlib
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.document import INJECTED_TAG, PARAMETERS_TAG, tagged_cell

if TYPE_CHECKING:
    from nbformat import NotebookNode


def injected_source(values: Mapping[str, object]) -> str:
    """Return Python code that assigns exactly these values to these names.

    Parameters
    ----------
    values : mapping
        Names to values: None, bool, int, float, complex, str, bytes, Path, date, time, datetime, timedelta,
        Decimal, NumPy scalars, and lists, tuples, sets, frozensets and dicts of them.

    Returns
    -------
    str
        Code that produces equal values of the same types. Modules are imported under names with an underscore, to
        not overwrite names of the notebook.

    Raises
    ------
    InvalidInput
        A name is not a Python identifier, or a value cannot be written exactly as code.
    """
    for name in values:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidInput(f"'{name}' is not a valid parameter name", hint="use a Python variable name")
    writer = _Writer(values)
    assignments = []
    for name, value in values.items():
        try:
            assignments.append(f"{name} = {writer.code(value)}")
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from error
        except RecursionError:
            raise InvalidInput(f"{name}: the value contains itself, or is nested too deeply") from None
    return "\n".join(["# Parameters", *writer.imports(), *assignments])


def inject(notebook: NotebookNode, values: Mapping[str, object]) -> NotebookNode:
    """Return a copy of a notebook with the values injected.

    As in papermill, the cell replaces an earlier injected one, else follows the ``parameters`` cell, else comes first.

    Raises
    ------
    InvalidInput
        See `injected_source`.
    """
    import nbformat

    source = injected_source(values)
    result: NotebookNode = copy.deepcopy(notebook)
    cell = nbformat.v4.new_code_cell(source=source)  # type: ignore[no-untyped-call]
    cell.metadata["tags"] = [INJECTED_TAG]
    if (result.nbformat, result.nbformat_minor) < (4, 5):
        del cell["id"]  # formats before 4.5 do not allow cell ids
    earlier = tagged_cell(result, INJECTED_TAG)
    if earlier is not None:
        result.cells[earlier] = cell
    else:
        after = tagged_cell(result, PARAMETERS_TAG)
        result.cells.insert(0 if after is None else after + 1, cell)
    return result


class _Writer:
    """Writes values as code, and collects the modules that the code needs."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._aliases: dict[str, str] = {}

    def imports(self) -> list[str]:
        return [f"import {module} as {alias}" for module, alias in self._aliases.items()]

    def code(self, value: object) -> str:
        kind = type(value)
        write = _WRITERS.get(kind)
        if write is not None:
            return write(self, value)
        if isinstance(value, pathlib.PurePath):
            return self._path(value)
        if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "dtype"):
            return self._numpy(value)
        raise InvalidInput(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be injected",
            hint="pass numbers, text, dates, paths, or lists and dicts of them; put data in a file and pass its path",
        )

    def _module(self, name: str) -> str:
        if name not in self._aliases:
            alias = f"_{name}"
            while alias in self._taken:
                alias = f"_{alias}"
            self._aliases[name] = alias
        return self._aliases[name]

    def _float(self, value: float) -> str:
        return repr(value) if math.isfinite(value) else f'float("{value}")'

    def _int(self, value: int) -> str:
        # Python does not parse the decimal form of a huge number (CVE-2020-10735), but the hexadecimal one.
        return repr(value) if value.bit_length() < 10_000 else hex(value)

    def _complex(self, value: complex) -> str:
        return f"complex({self._float(value.real)}, {self._float(value.imag)})"

    def _list(self, value: list[object]) -> str:
        return f"[{', '.join(map(self.code, value))}]"

    def _tuple(self, value: tuple[object, ...]) -> str:
        return f"({', '.join(map(self.code, value))}{',' if len(value) == 1 else ''})"

    def _set(self, value: set[object]) -> str:
        # Sorted, so that equal values give the same cell in every process.
        return f"{{{', '.join(sorted(map(self.code, value)))}}}" if value else "set()"

    def _frozenset(self, value: frozenset[object]) -> str:
        return f"frozenset({self._set(set(value)) if value else ''})"

    def _dict(self, value: dict[object, object]) -> str:
        return f"{{{', '.join(f'{self.code(key)}: {self.code(item)}' for key, item in value.items())}}}"

    def _decimal(self, value: decimal.Decimal) -> str:
        return f'{self._module("decimal")}.Decimal("{value}")'

    def _path(self, value: pathlib.PurePath) -> str:
        kind = "Path" if isinstance(value, pathlib.Path) else type(value).__name__
        return f"{self._module('pathlib')}.{kind}({str(value)!r})"

    def _date(self, value: datetime.date) -> str:
        return f"{self._module('datetime')}.date({value.year}, {value.month}, {value.day})"

    def _datetime(self, value: datetime.datetime) -> str:
        parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
        return f"{self._module('datetime')}.datetime({', '.join(map(str, parts))}{self._zone(value)})"

    def _time(self, value: datetime.time) -> str:
        parts = [value.hour, value.minute, value.second, value.microsecond]
        return f"{self._module('datetime')}.time({', '.join(map(str, parts))}{self._zone(value)})"

    def _zone(self, value: datetime.datetime | datetime.time) -> str:
        zone = "" if value.tzinfo is None else f", tzinfo={self.code(value.tzinfo)}"
        return zone + (", fold=1" if value.fold else "")

    def _timedelta(self, value: datetime.timedelta) -> str:
        return f"{self._module('datetime')}.timedelta({value.days}, {value.seconds}, {value.microseconds})"

    def _timezone(self, value: datetime.timezone) -> str:
        if value == datetime.UTC:
            return f"{self._module('datetime')}.timezone.utc"
        return f"{self._module('datetime')}.timezone({self.code(value.utcoffset(None))})"

    def _zoneinfo(self, value: zoneinfo.ZoneInfo) -> str:
        if value.key is None:
            raise InvalidInput("a time zone without a name cannot be injected")
        return f"{self._module('zoneinfo')}.ZoneInfo({value.key!r})"

    def _numpy(self, value: Any) -> str:
        numpy = self._module("numpy")
        kind, name = value.dtype.kind, type(value).__name__
        if kind in "biu":
            name = {"bool": "bool_"}.get(name, name)
            return f"{numpy}.{name}({self.code(value.item())})"
        if (kind == "f" and value.dtype.itemsize <= 8) or (kind == "c" and value.dtype.itemsize <= 16):
            plain, kept = value.item(), value.tobytes()
            if value.dtype.type(_nameable(plain)).tobytes() != kept:
                # A NaN with a payload has no literal.
                order = "<" if sys.byteorder == "little" else ">"
                form = f"{order}{kind}{value.dtype.itemsize}"
                return f'{numpy}.frombuffer(bytes.fromhex("{kept.hex()}"), "{form}")[0]'
            return f"{numpy}.{name}({self._float(plain) if kind == 'f' else self._complex(plain)})"
        if kind in "US":
            return f"{numpy}.{'str_' if kind == 'U' else 'bytes_'}({value.item()!r})"
        if kind in "mM":
            unit = value.dtype.str.partition("[")[2].rstrip("]")
            ticks = int(value.astype("int64"))
            not_a_time = ticks == -(2**63)
            code = '"NaT"' if not_a_time else str(ticks)
            return f"{numpy}.{name}({code}, {unit!r})" if unit else f"{numpy}.{name}({code})"
        # Long doubles and structured scalars have no literal that is exact on every machine.
        raise InvalidInput(f"a value of type numpy.{name} cannot be injected", hint="convert it to a Python value")


def _nameable(value: complex) -> complex:
    """Return the number that the literal of this one gives."""
    if isinstance(value, complex):
        return complex(_nameable(value.real), _nameable(value.imag))
    return math.nan if math.isnan(value) else value


_WRITERS: dict[type, Callable[[_Writer, Any], str]] = {
    type(None): lambda _, value: "None",
    type(...): lambda _, value: "...",
    bool: lambda _, value: repr(value),
    int: _Writer._int,
    float: _Writer._float,
    complex: _Writer._complex,
    str: lambda _, value: repr(value),
    bytes: lambda _, value: repr(value),
    list: _Writer._list,
    tuple: _Writer._tuple,
    set: _Writer._set,
    frozenset: _Writer._frozenset,
    dict: _Writer._dict,
    decimal.Decimal: _Writer._decimal,
    datetime.date: _Writer._date,
    datetime.datetime: _Writer._datetime,
    datetime.time: _Writer._time,
    datetime.timedelta: _Writer._timedelta,
    datetime.timezone: _Writer._timezone,
    zoneinfo.ZoneInfo: _Writer._zoneinfo,
}
