"""Values as Python code that gives exactly the same values, of the same types."""

from __future__ import annotations

import datetime
import decimal
import math
import pathlib
import sys
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

from mlops_workbench.core.errors import InvalidInput

#: Levels of brackets; Python's parser takes 200, of which a frozenset has two.
_DEEPEST = 90


class LiteralWriter:
    """Writes values as code, and collects the modules that the code needs.

    A value of a class that is derived from one of these types, such as a member of an enumeration, is refused: its
    code would give another type.

    Parameters
    ----------
    taken : iterable of str
        Names that the code must neither bind nor rely on.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._depth = 0
        self._aliases: dict[str, str] = {}

    def imports(self) -> list[str]:
        """Return the import statements that the code needs."""
        return [f"import {module} as {alias}" for module, alias in self._aliases.items()]

    def code(self, value: object) -> str:
        """Return an expression for a value.

        Raises
        ------
        InvalidInput
            The value has no exact code.
        """
        if self._depth == _DEEPEST:
            raise InvalidInput("the value contains itself, or is nested too deeply")
        self._depth += 1
        try:
            return self._code(value)
        finally:
            self._depth -= 1

    def module(self, name: str) -> str:
        """Return the alias under which the code imports a module."""
        if name not in self._aliases:
            alias = f"_{name}"
            while alias in self._taken:
                alias = f"_{alias}"
            self._aliases[name] = alias
        return self._aliases[name]

    def builtin(self, name: str) -> str:
        """Return how the code refers to a built-in name."""
        return f"{self.module('builtins')}.{name}" if name in self._taken else name

    def _code(self, value: object) -> str:
        kind = type(value)
        write = _WRITERS.get(kind)
        if write is not None:
            return write(self, value)
        if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "dtype"):
            return self._numpy(value)
        raise InvalidInput(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be injected",
            hint="pass numbers, text, dates, paths, or lists and dicts of them; put data in a file and pass its path",
        )

    def _float(self, value: float) -> str:
        return repr(value) if math.isfinite(value) else f'{self.builtin("float")}("{value}")'

    def _int(self, value: int) -> str:
        # Python does not parse the decimal form of a huge number (CVE-2020-10735), but the hexadecimal one.
        return repr(value) if value.bit_length() < 10_000 else hex(value)

    def _complex(self, value: complex) -> str:
        return f"{self.builtin('complex')}({self._float(value.real)}, {self._float(value.imag)})"

    def _list(self, value: list[object]) -> str:
        return f"[{', '.join(map(self.code, value))}]"

    def _tuple(self, value: tuple[object, ...]) -> str:
        return f"({', '.join(map(self.code, value))}{',' if len(value) == 1 else ''})"

    def _set(self, value: set[object]) -> str:
        # Sorted, so that equal values give the same cell in every process.
        return f"{{{', '.join(sorted(map(self.code, value)))}}}" if value else f"{self.builtin('set')}()"

    def _frozenset(self, value: frozenset[object]) -> str:
        return f"{self.builtin('frozenset')}({self._set(set(value)) if value else ''})"

    def _dict(self, value: dict[object, object]) -> str:
        return f"{{{', '.join(f'{self.code(key)}: {self.code(item)}' for key, item in value.items())}}}"

    def _decimal(self, value: decimal.Decimal) -> str:
        return f'{self.module("decimal")}.Decimal("{value}")'

    def _path(self, value: pathlib.PurePath) -> str:
        kind = "Path" if isinstance(value, pathlib.Path) else type(value).__name__
        return f"{self.module('pathlib')}.{kind}({str(value)!r})"

    def _date(self, value: datetime.date) -> str:
        return f"{self.module('datetime')}.date({value.year}, {value.month}, {value.day})"

    def _datetime(self, value: datetime.datetime) -> str:
        parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
        return f"{self.module('datetime')}.datetime({', '.join(map(str, parts))}{self._zone(value)})"

    def _time(self, value: datetime.time) -> str:
        parts = [value.hour, value.minute, value.second, value.microsecond]
        return f"{self.module('datetime')}.time({', '.join(map(str, parts))}{self._zone(value)})"

    def _zone(self, value: datetime.datetime | datetime.time) -> str:
        zone = "" if value.tzinfo is None else f", tzinfo={self.code(value.tzinfo)}"
        return zone + (", fold=1" if value.fold else "")

    def _timedelta(self, value: datetime.timedelta) -> str:
        return f"{self.module('datetime')}.timedelta({value.days}, {value.seconds}, {value.microseconds})"

    def _timezone(self, value: datetime.timezone) -> str:
        if value is datetime.UTC:
            return f"{self.module('datetime')}.timezone.utc"
        name = value.tzname(None)
        named = "" if name == datetime.timezone(value.utcoffset(None)).tzname(None) else f", {name!r}"
        return f"{self.module('datetime')}.timezone({self.code(value.utcoffset(None))}{named})"

    def _zoneinfo(self, value: zoneinfo.ZoneInfo) -> str:
        if value.key is None:
            raise InvalidInput("a time zone without a name cannot be injected")
        return f"{self.module('zoneinfo')}.ZoneInfo({value.key!r})"

    def _numpy(self, value: Any) -> str:
        numpy = self.module("numpy")
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
        if kind == "f":
            # The digits of a long double are read back exactly where it has the same format.
            return f"{numpy}.{name}({str(value)!r})"
        if kind == "c":
            parts = f"{self.code(value.real)}, {self.code(value.imag)}"
            return f"{numpy}.array([{parts}]).view({numpy}.{name})[0]"
        if kind in "US":
            return f"{numpy}.{'str_' if kind == 'U' else 'bytes_'}({value.item()!r})"
        if kind in "mM":
            unit = value.dtype.str.partition("[")[2].rstrip("]")
            ticks = int(value.astype("int64"))
            not_a_time = ticks == -(2**63)
            code = '"NaT"' if not_a_time else str(ticks)
            return f"{numpy}.{name}({code}, {unit!r})" if unit else f"{numpy}.{name}({code})"
        raise InvalidInput(f"a value of type numpy.{name} cannot be injected", hint="convert it to a Python value")


def _nameable(value: complex) -> complex:
    """Return the number that the literal of this one gives."""
    if isinstance(value, complex):
        return complex(_nameable(value.real), _nameable(value.imag))
    return math.nan if math.isnan(value) else value


_WRITERS: dict[type, Callable[[LiteralWriter, Any], str]] = {
    type(None): lambda _, value: "None",
    type(...): lambda _, value: "...",
    bool: lambda _, value: repr(value),
    int: LiteralWriter._int,
    float: LiteralWriter._float,
    complex: LiteralWriter._complex,
    str: lambda _, value: repr(value),
    bytes: lambda _, value: repr(value),
    list: LiteralWriter._list,
    tuple: LiteralWriter._tuple,
    set: LiteralWriter._set,
    frozenset: LiteralWriter._frozenset,
    dict: LiteralWriter._dict,
    decimal.Decimal: LiteralWriter._decimal,
    datetime.date: LiteralWriter._date,
    datetime.datetime: LiteralWriter._datetime,
    datetime.time: LiteralWriter._time,
    datetime.timedelta: LiteralWriter._timedelta,
    datetime.timezone: LiteralWriter._timezone,
    zoneinfo.ZoneInfo: LiteralWriter._zoneinfo,
    pathlib.PosixPath: LiteralWriter._path,
    pathlib.WindowsPath: LiteralWriter._path,
    pathlib.PurePosixPath: LiteralWriter._path,
    pathlib.PureWindowsPath: LiteralWriter._path,
}
