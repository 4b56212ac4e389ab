"""Detection of in-place changes by the contents of small objects.

``random.shuffle(names)`` changes its argument, which its source does not show. After each cell, the objects that
it used are compared with their contents after the last cell that used them, and so are objects that share a part
with them. To cost only a fraction of a millisecond, only small objects are read, and only types of Python and NumPy
whose content can be read without running user code; of larger objects and tables, the shape is compared.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import msgspec
from xxhash import xxh3_128

from mlops_workbench.data.content.canonical import Opaque, encoded

#: Time limit per cell; limits of parts, plain items and bytes per object.
_SECONDS = 0.002
_PARTS = 2_000
_PLAIN_ITEMS = 20_000
_BYTES = 1 << 20
_DEEPEST = 30

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_SEQUENCES = frozenset((list, tuple, deque))
_SETS = frozenset((set, frozenset))
_MAPPINGS = frozenset((dict, OrderedDict, defaultdict, Counter))
_FIXED = frozenset((tuple, frozenset))
_BY_IDENTITY = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
#: Modules whose objects are compared by their canonical bytes.
_LIBRARIES = frozenset(("builtins", "datetime", "decimal", "fractions", "uuid", "zoneinfo"))
#: Number of column names and types of a table that are compared.
_COLUMNS = 1000
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of an object; `complete` when it covers everything that can change."""

    of: int
    digest: bytes
    complete: bool
    #: Ids of the mutable objects in it, including itself, and of the memory that arrays share.
    parts: frozenset[int]


class _TooMuch(Exception):
    """The object is larger than the limits."""


class Contents:
    """Contents of the names of a notebook after the last cell that used them."""

    def __init__(self) -> None:
        self._known: dict[str, _Content] = {}

    def compare(self, touched: Iterable[str], values: Mapping[str, Any]) -> tuple[set[str], set[str]]:
        """Compare the contents of names with those after earlier cells.

        Parameters
        ----------
        touched : iterable of str
            Names that a cell used or bound.
        values : mapping
            The notebook's namespace after it.

        Returns
        -------
        changed, same : set of str
            Names with the same object and another content, including names of objects that share a part with
            one of `touched`; and names whose object certainly has the same content. Names that are read for the first
            time or cannot be read are in neither.
        """
        comparison = _Comparison(self._known, values)
        touched, shared = set(touched), set[int]()
        for name in touched:
            content = comparison.add(name)
            if content is not None and name not in comparison.same:
                shared |= content.parts
        for name, known in list(self._known.items()):
            if name in touched:
                continue
            if name not in values:
                del self._known[name]
            elif not known.parts.isdisjoint(shared):
                comparison.add(name)
        return comparison.changed, comparison.same


class _Comparison:
    """Comparison of the contents of names with the known ones, which it updates."""

    def __init__(self, known: dict[str, _Content], values: Mapping[str, Any]) -> None:
        self.changed: set[str] = set()
        self.same: set[str] = set()
        self._known = known
        self._values = values
        self._read: dict[int, _Content | None] = {}
        self._deadline = time.thread_time() + _SECONDS

    def add(self, name: str) -> _Content | None:
        """Compare a name and return its content, or None if that is unknown."""
        before = self._known.pop(name, None)
        if name not in self._values:
            return None
        value = self._values[name]
        if id(value) not in self._read:
            self._read[id(value)] = _content(value) if time.thread_time() < self._deadline else None
        content = self._read[id(value)]
        if content is None:
            return None
        self._known[name] = content
        if before is not None and before.of == content.of:
            if before.digest != content.digest:
                self.changed.add(name)
            elif content.complete:
                self.same.add(name)
        return content


def _content(value: Any) -> _Content | None:
    """Return the content of an object, or None if it is unknown."""
    if type(value) in _PLAIN:
        return None  # An immutable value changes only by binding the name.
    reader = _Reader()
    try:
        known = reader.read(value, 0)
    except (_TooMuch, RuntimeError, RecursionError, ValueError, MemoryError):
        return None  # Too large, or changed by another thread.
    return _Content(id(value), reader.state.digest(), reader.complete, frozenset(reader.parts)) if known else None


class _Reader:
    """Reads an object and its parts."""

    def __init__(self) -> None:
        self.state = xxh3_128()
        self.complete = True
        self.parts: set[int] = set()
        self._left = _PARTS
        self._bytes = _BYTES

    def read(self, value: Any, depth: int) -> bool:
        """Add an object; return whether more than its identity is known."""
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise _TooMuch
        kind = type(value)
        if kind in _PLAIN:
            self._plain([value])
        elif kind in _SEQUENCES or kind in _SETS or kind in _MAPPINGS:
            self._container(value, kind, depth)
        elif kind is bytearray:
            self.parts.add(id(value))
            self._sized(value)
        elif not self._of_libraries(value, kind):
            return self._other(value)
        return True

    def _container(self, value: Any, kind: type, depth: int) -> None:
        self._add(kind.__name__, len(value))
        if kind not in _FIXED:
            if id(value) in self.parts:
                self._add("again", id(value))
                return
            self.parts.add(id(value))
        if len(value) > _PLAIN_ITEMS:
            raise _TooMuch
        items = [*value.keys(), *value.values()] if kind in _MAPPINGS else list(value)
        if _PLAIN.issuperset(map(type, items)):
            if kind in _SETS:
                # Sets have no order.
                items.sort(key=lambda item: (type(item).__name__, repr(item)))
            self._left -= len(items) >> 6
            self._plain(items)
            return
        for item in items:
            self.read(item, depth + 1)

    def _of_libraries(self, value: Any, kind: type) -> bool:
        numpy: Any = sys.modules.get("numpy")
        if numpy is not None and kind is getattr(numpy, "ndarray", None):
            self._array(value)
            return True
        pandas: Any = sys.modules.get("pandas")
        if pandas is not None and kind is getattr(pandas, "DataFrame", None):
            self._frame(value)
            return True
        if pandas is not None and kind is getattr(pandas, "Series", None):
            # The index is not compared.
            self.complete = False
            self.parts.add(id(value))
            self._add("Series", *value.shape, str(value.dtype), repr(value.name)[:200])
            self._values(value.dtype, value)
            return True
        return False

    def _array(self, value: Any) -> None:
        self._add("ndarray", *value.shape, value.dtype.str)
        base = value
        while base is not None:
            self.parts.add(id(base))
            base = getattr(base, "base", None)
        self._values(value.dtype, value)

    def _frame(self, value: Any) -> None:
        self.parts.add(id(value))
        # Neither the index nor all columns are compared.
        self.complete = False
        self._add("DataFrame", *value.shape)
        names = value.columns
        # Slicing an index costs more than reading the names of a table of ordinary width.
        names = names if len(names) <= _COLUMNS else names[:_COLUMNS]
        self._plain([repr(name)[:200] for name in names.tolist()])
        dtypes = value.dtypes.tolist()
        plain = 0 < len(dtypes) <= _COLUMNS and type(dtypes[0]).__module__.startswith("numpy")
        if plain and all(dtype == dtypes[0] for dtype in dtypes):
            # Reading column by column would take milliseconds.
            self._values(dtypes[0], value)

    def _values(self, dtype: Any, value: Any) -> None:
        """Add an array of numbers, if it is small."""
        if type(dtype).__module__.startswith("numpy") and dtype.kind in "biufcmM" and dtype.itemsize:
            size = value.size * dtype.itemsize
            if size <= self._bytes:
                self._bytes -= size
                array = value.to_numpy() if hasattr(value, "to_numpy") else value
                self.state.update(array.tobytes())
                return
        self.complete = False

    def _other(self, value: Any) -> bool:
        # `isinstance` would use the class that the object claims.
        kind = type(value)
        if issubclass(kind, _BY_IDENTITY):
            self._add("is", id(value))
            return True
        if (kind.__module__ not in _LIBRARIES or kind is memoryview) and not issubclass(kind, _numpy_scalar()):
            # Reading it could run user code.
            self._add("is", id(value))
            self.complete = False
            return False
        try:
            for part in encoded([value]):
                self.state.update(part)
        except Opaque:
            self._add("is", id(value))
            self.complete = False
            return False
        return True

    def _plain(self, items: list[Any]) -> None:
        self._bytes -= sum(len(item) for item in items if type(item) is str or type(item) is bytes)
        if self._bytes < 0:
            raise _TooMuch
        try:
            self.state.update(_encode(items))
        except (OverflowError, UnicodeEncodeError):
            self.state.update(repr(items).encode("utf-8", "surrogatepass"))

    def _sized(self, value: Any) -> None:
        if len(value) > self._bytes:
            raise _TooMuch
        self._bytes -= len(value)
        self._add("bytes", len(value))
        self.state.update(value)

    def _add(self, *what: Any) -> None:
        self.state.update(_encode(what))


def _numpy_scalar() -> Any:
    return getattr(sys.modules.get("numpy"), "generic", ())
