"""Contents of small objects from cell to cell: what changed in place though no name or call shows it.

``random.shuffle(names)`` changes what it is given, and nothing in the source says so. After each cell the objects that
it touched are compared with what they were after the last cell that touched them, and so are those that share a part
with them. Only types of Python and NumPy whose content can be read without running anybody's code are looked at, and
only small ones: it may cost a fraction of a millisecond. Of larger ones, and of tables, the shape is looked at.
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

#: Time for one cell; parts, plain items and bytes of one object.
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
#: Those whose objects are told by a text of their content.
_LIBRARIES = frozenset(("builtins", "datetime", "decimal", "fractions", "uuid", "zoneinfo"))
#: Of a table, as many names and types are looked at.
_COLUMNS = 1000
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Content:
    """What an object held; `complete` when nothing in it could have changed unseen."""

    of: int
    digest: bytes
    complete: bool
    #: Identities of the objects in it that can change, itself included, and of the memory that arrays share.
    parts: frozenset[int]


class _TooMuch(Exception):
    """The object has more parts than are looked at."""


class Contents:
    """What the names of a notebook held when a cell last touched them."""

    def __init__(self) -> None:
        self._known: dict[str, _Content] = {}

    def compare(self, touched: Iterable[str], values: Mapping[str, Any]) -> tuple[set[str], set[str]]:
        """Look at what names hold now.

        Parameters
        ----------
        touched : iterable of str
            Names that a cell used or bound.
        values : mapping
            The notebook's namespace after it.

        Returns
        -------
        changed, same : set of str
            Names whose object is the one from before with another content, names of objects that share a part with
            one of `touched` among them; and names whose object certainly holds what it held. Neither is said of what
            is seen for the first time or cannot be looked at.
        """
        deadline = time.perf_counter() + _SECONDS
        changed: set[str] = set()
        same: set[str] = set()
        shared: set[int] = set()
        seen: dict[int, _Content | None] = {}
        touched = set(touched)
        for name in touched:
            self._look(name, values, seen, deadline, changed, same)
            if name not in same and (now := self._known.get(name)) is not None:
                shared |= now.parts
        for name, known in list(self._known.items()):
            if name in touched:
                continue
            if name not in values:
                del self._known[name]
            elif not known.parts.isdisjoint(shared):
                self._look(name, values, seen, deadline, changed, same)
        return changed, same

    def _look(
        self,
        name: str,
        values: Mapping[str, Any],
        seen: dict[int, _Content | None],
        deadline: float,
        changed: set[str],
        same: set[str],
    ) -> None:
        before = self._known.pop(name, None)
        if name not in values:
            return
        value = values[name]
        if id(value) not in seen:
            seen[id(value)] = _content(value) if time.perf_counter() < deadline else None
        now = seen[id(value)]
        if now is None:
            return
        self._known[name] = now
        if before is not None and before.of == now.of:
            if before.digest != now.digest:
                changed.add(name)
            elif now.complete:
                same.add(name)


def _content(value: Any) -> _Content | None:
    """What an object holds; None for one that says nothing."""
    if type(value) in _PLAIN:
        # Bound anew whenever it is another.
        return None
    reader = _Reader()
    try:
        known = reader.read(value, 0)
    except (_TooMuch, RuntimeError, RecursionError, ValueError, MemoryError):
        # Too large, or another thread changes it.
        return None
    return _Content(id(value), reader.state.digest(), reader.complete, frozenset(reader.parts)) if known else None


class _Reader:
    """Reads one object with what is in it."""

    def __init__(self) -> None:
        self.state = xxh3_128()
        self.complete = True
        self.parts: set[int] = set()
        self._left = _PARTS
        self._bytes = _BYTES

    def read(self, value: Any, depth: int) -> bool:
        """Take in an object; whether anything can be said of it but which one it is."""
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
        self._say(kind.__name__, len(value))
        if kind not in _FIXED:
            if id(value) in self.parts:
                # In itself, or a second time.
                self._say("again", id(value))
                return
            self.parts.add(id(value))
        if len(value) > _PLAIN_ITEMS:
            raise _TooMuch
        items = [*value.keys(), *value.values()] if kind in _MAPPINGS else list(value)
        if _PLAIN.issuperset(map(type, items)):
            if kind in _SETS:
                # The order of a set says nothing.
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
            # Its index is not looked at.
            self.complete = False
            self.parts.add(id(value))
            self._say("Series", *value.shape, str(value.dtype), repr(value.name)[:200])
            self._values(value.dtype, value)
            return True
        return False

    def _array(self, value: Any) -> None:
        self._say("ndarray", *value.shape, value.dtype.str)
        base = value
        while base is not None:
            self.parts.add(id(base))
            base = getattr(base, "base", None)
        self._values(value.dtype, value)

    def _frame(self, value: Any) -> None:
        self.parts.add(id(value))
        # Neither its index nor all of its columns are looked at.
        self.complete = False
        self._say("DataFrame", *value.shape)
        names = value.columns
        # A slice of an index costs more than the names of a table of ordinary width.
        names = names if len(names) <= _COLUMNS else names[:_COLUMNS]
        self._plain([repr(name)[:200] for name in names.tolist()])
        dtypes = value.dtypes.tolist()
        plain = 0 < len(dtypes) <= _COLUMNS and type(dtypes[0]).__module__.startswith("numpy")
        if plain and all(dtype == dtypes[0] for dtype in dtypes):
            # Column by column it would take milliseconds.
            self._values(dtypes[0], value)

    def _values(self, dtype: Any, value: Any) -> None:
        """Numbers, if they are few."""
        if type(dtype).__module__.startswith("numpy") and dtype.kind in "biufcmM" and dtype.itemsize:
            size = value.size * dtype.itemsize
            if size <= self._bytes:
                self._bytes -= size
                array = value.to_numpy() if hasattr(value, "to_numpy") else value
                self.state.update(array.tobytes())
                return
        self.complete = False

    def _other(self, value: Any) -> bool:
        # Of the type, for `isinstance` asks the object too.
        kind = type(value)
        if issubclass(kind, _BY_IDENTITY):
            self._say("is", id(value))
            return True
        if (kind.__module__ not in _LIBRARIES or kind is memoryview) and not issubclass(kind, _numpy_scalar()):
            # Not to run code of the user's.
            self._say("is", id(value))
            self.complete = False
            return False
        try:
            for part in encoded([value]):
                self.state.update(part)
        except Opaque:
            self._say("is", id(value))
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
        self._say("bytes", len(value))
        self.state.update(value)

    def _say(self, *what: Any) -> None:
        self.state.update(_encode(what))


def _numpy_scalar() -> Any:
    return getattr(sys.modules.get("numpy"), "generic", ())
