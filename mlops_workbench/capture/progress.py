"""``track.progress``: how far a loop is."""

from __future__ import annotations

import operator
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.shown.formats import duration
from mlops_workbench.core.shown.formats import share as percent

Item = TypeVar("Item")

#: Seconds between two looks of a terminal at its line.
_REDRAW = 0.1
_BAR = 20
#: Items that a loop may pass between two looks at the clock.
_LONGEST_STRIDE = 1 << 16

_open: list[Bar] = []
_lock = threading.Lock()
#: Draws bars elsewhere than on a line of the terminal; gives False for those it does not.
_painter: Callable[[Bar], bool] | None = None


def _in_child() -> None:
    # Another thread of the parent may have held the lock, and the loops are the parent's.
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class Bar:
    """One loop.

    Attributes
    ----------
    desc : str
        What the loop does, may be empty.
    total : int or None
        Number of items, None when unknown.
    done : int
        Items that were passed, counted anew as the loop goes.
    began, ended : float
        `time.perf_counter` at its start and end; 0 while it runs.
    """

    __slots__ = ("__weakref__", "began", "desc", "done", "ended", "thread", "total")

    def __init__(self, total: int | None, desc: str) -> None:
        self.desc = desc
        self.total = total
        self.done = 0
        self.began = time.perf_counter()
        self.ended = 0.0
        self.thread = threading.get_ident()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.perf_counter()) - self.began

    @property
    def fraction(self) -> float | None:
        """Done of all, 0 to 1; None when the total is unknown."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def rest(self) -> float | None:
        """Seconds still to go if it goes on like this; None when that is unknown."""
        if not self.total or not self.done or self.ended:
            return None
        return max(self.total - self.done, 0) * self.seconds / self.done

    def __str__(self) -> str:
        """One line of text: ``epochs 40 % 4/10, 3.2 s left``."""
        name = f"{self.desc} " if self.desc else ""
        if self.total is None:
            return f"{name}{self.done} in {duration(self.seconds)}"
        share = f"{percent(self.fraction or 0)} {self.done}/{self.total}"
        rest = self.rest
        return f"{name}{share}, " + (f"{duration(rest)} left" if rest is not None else duration(self.seconds))


def progress(iterable: Iterable[Item], total: int | None = None, desc: str = "") -> Iterator[Item]:
    """Go through `iterable` and show how far it is.

    Below a tracked cell it is drawn with the run's metrics; in a terminal on one line. Loops may be nested. An
    item costs some 50 nanoseconds.

    Parameters
    ----------
    iterable : iterable
        What to go through.
    total : int, optional
        Number of items, by default ``len(iterable)`` where that is known.
    desc : str, optional
        What the loop does.

    Raises
    ------
    InvalidInput
        `iterable` cannot be gone through, or `total` is no number of items.

    Examples
    --------
    >>> for epoch in track.progress(range(10), desc="epochs"):
    ...     log(loss=fit(epoch))
    """
    try:
        items = iter(iterable)
    except TypeError:
        hint = f"track.progress(range({iterable!r}))" if isinstance(iterable, int) else "give a list, a range, ..."
        raise InvalidInput(f"{type(iterable).__name__} cannot be gone through", hint=hint) from None
    if total is None:
        total = _length(iterable)
    elif isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise InvalidInput(f"total is a number of items, not {total!r}", hint="track.progress(items, total=100)")
    return _go(items, Bar(total, str(desc)))


def open_bars() -> list[Bar]:
    """Loops that are under way, outermost first."""
    with _lock:
        return list(_open)


def paint_with(painter: Callable[[Bar], bool] | None) -> None:
    """Let `painter` be told of every loop that begins; where it gives True the terminal draws nothing."""
    global _painter
    _painter = painter


def _go(items: Iterator[Item], bar: Bar) -> Iterator[Item]:
    # Time begins with the first item that is asked for, not when the generator was made.
    bar.began = time.perf_counter()
    line = _begin(bar)
    done, look, stride, looked = 0, 1, 1, bar.began
    try:
        for item in items:
            yield item
            done += 1
            bar.done = done
            if line is not None and done >= look:
                now = time.perf_counter()
                took = now - looked
                # So many items that the clock is read some twenty times a second, whatever an item takes.
                stride = min(max(1, int(stride * min(2.0, 0.05 / took if took > 0 else 2.0))), _LONGEST_STRIDE)
                looked, look = now, done + stride
                line.draw(now)
    finally:
        bar.ended = time.perf_counter()
        with _lock:
            if bar in _open:
                _open.remove(bar)
            outermost = not any(other.thread == bar.thread for other in _open)
        if line is not None:
            line.end(bar, outermost=outermost)


def _begin(bar: Bar) -> _Line | None:
    with _lock:
        _open.append(bar)
    painter = _painter
    try:
        painted = painter is not None and painter(bar)
    except Exception:  # noqa: BLE001 a loop of the user's goes on, drawn or not
        painted = False
    return None if painted or not _terminal() else _Line()


class _Line:
    """The line of a terminal that shows the loops of this thread."""

    _width = 0
    _drawn = 0.0

    def draw(self, now: float) -> None:
        """Draw all of them, unless that was done a moment ago."""
        if now - _Line._drawn < _REDRAW:
            return
        _Line._drawn = now
        mine = threading.get_ident()
        self._write(" | ".join(_drawn(bar) for bar in open_bars() if bar.thread == mine), "")

    def end(self, bar: Bar, *, outermost: bool) -> None:
        """Leave the outermost loop's last state on the line; a loop in it gives its place back."""
        if outermost:
            self._write(_drawn(bar), "\n")
            _Line._width, _Line._drawn = 0, 0.0

    @staticmethod
    def _write(text: str, end: str) -> None:
        columns = shutil.get_terminal_size((80, 24)).columns - 1
        text = text[:columns]
        try:
            sys.stderr.write(f"\r{text}{' ' * (_Line._width - len(text))}{end}")
            sys.stderr.flush()
        except (OSError, ValueError):
            return
        _Line._width = len(text)


def _drawn(bar: Bar) -> str:
    if bar.fraction is None:
        return str(bar)
    full = round(bar.fraction * _BAR)
    name = f"{bar.desc} " if bar.desc else ""
    return f"{name}[{'#' * full}{'.' * (_BAR - full)}] {str(bar).removeprefix(name)}"


def _terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):
        return False


def _length(iterable: Any) -> int | None:
    try:
        found = operator.length_hint(iterable, -1)
    except (TypeError, ValueError):
        return None
    return found if found >= 0 else None
