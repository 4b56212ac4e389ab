"""``track.progress``: progress of loops."""

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
from mlops_workbench.core.shown.plain_text import visible

Item = TypeVar("Item")

#: Seconds between two updates of a terminal.
_REDRAW = 0.1
_BAR = 20
#: Largest number of items between two readings of the clock.
_LONGEST_STRIDE = 1 << 16

_open: list[Bar] = []
_lock = threading.Lock()
#: Draws bars outside of the terminal; returns False for bars it does not draw.
_painter: Callable[[Bar], bool] | None = None


def _reset() -> None:
    # Runs in a forked child: another thread of the parent may have held the lock, and the loops are the parent's.
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)


class Bar:
    """Progress of a loop.

    Attributes
    ----------
    desc : str
        Description of the loop, may be empty.
    total : int or None
        Number of items, None when unknown.
    done : int
        Number of finished items.
    began, ended : float
        `time.perf_counter` at its start and end; `ended` is 0 while it runs.
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
        """Duration of the loop so far."""
        return (self.ended or time.perf_counter()) - self.began

    @property
    def fraction(self) -> float | None:
        """Finished share, 0 to 1; None when the total is unknown."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def remaining(self) -> float | None:
        """Remaining seconds at the current speed; None when that is unknown."""
        if not self.total or not self.done or self.ended:
            return None
        return max(self.total - self.done, 0) * self.seconds / self.done

    def __str__(self) -> str:
        """Return a line of text: ``epochs 40 % 4/10, 3.2 s left``."""
        name = f"{self.desc} " if self.desc else ""
        if self.total is None:
            return f"{name}{self.done} in {duration(self.seconds)}"
        share = f"{percent(self.fraction or 0)} {self.done}/{self.total}"
        remaining = self.remaining
        return f"{name}{share}, " + (f"{duration(remaining)} left" if remaining is not None else duration(self.seconds))


def progress(iterable: Iterable[Item], total: int | None = None, desc: str = "") -> Iterator[Item]:
    """Iterate and show the progress.

    It is shown below a tracked cell with the run's metrics, or on a line of a terminal. Loops may be nested. The
    overhead is about 50 nanoseconds per item.

    Parameters
    ----------
    iterable : iterable
        Items of the loop.
    total : int, optional
        Number of items, by default ``len(iterable)`` if that is known.
    desc : str, optional
        Description of the loop.

    Raises
    ------
    InvalidInput
        `iterable` is not iterable, or `total` is not a number of items.

    Examples
    --------
    >>> for epoch in track.progress(range(10), desc="epochs"):
    ...     log(loss=fit(epoch))
    """
    try:
        items = iter(iterable)
    except TypeError:
        hint = f"track.progress(range({iterable!r}))" if isinstance(iterable, int) else "pass a list, a range, ..."
        raise InvalidInput(f"{type(iterable).__name__} is not iterable", hint=hint) from None
    if total is None:
        total = _length(iterable)
    elif isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise InvalidInput(f"total must be a number of items, not {total!r}", hint="track.progress(items, total=100)")
    return _iterate(items, Bar(total, str(desc)))


def open_bars() -> list[Bar]:
    """Return the running loops, outermost first."""
    with _lock:
        return list(_open)


def paint_with(painter: Callable[[Bar], bool] | None) -> None:
    """Call `painter` for every loop that starts; if it returns True, the terminal does not draw the loop."""
    global _painter
    _painter = painter


def _iterate(items: Iterator[Item], bar: Bar) -> Iterator[Item]:
    # The generator may start long after it was created.
    bar.began = time.perf_counter()
    line = _begin(bar)
    done, check, stride, checked = 0, 1, 1, bar.began
    try:
        for item in items:
            yield item
            done += 1
            bar.done = done
            if line is not None and done >= check:
                now = time.perf_counter()
                took = now - checked
                # The clock is read about twenty times a second, independent of the time per item.
                stride = min(max(1, int(stride * min(2.0, 0.05 / took if took > 0 else 2.0))), _LONGEST_STRIDE)
                checked, check = now, done + stride
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
    except Exception:  # noqa: BLE001 an error of the display must not end the user's loop
        painted = False
    return None if painted or not _terminal() else _Line()


class _Line:
    """Line of a terminal that shows the loops of this thread."""

    _width = 0
    _drawn = 0.0

    def draw(self, now: float) -> None:
        """Draw all loops, unless they were just drawn."""
        if now - _Line._drawn < _REDRAW:
            return
        _Line._drawn = now
        mine = threading.get_ident()
        self._write(" | ".join(_drawn(bar) for bar in open_bars() if bar.thread == mine), "")

    def end(self, bar: Bar, *, outermost: bool) -> None:
        """Draw the final state of the outermost loop; inner loops leave nothing on the line."""
        if outermost:
            self._write(_drawn(bar), "\n")
            _Line._width, _Line._drawn = 0, 0.0

    @staticmethod
    def _write(text: str, end: str) -> None:
        columns = shutil.get_terminal_size((80, 24)).columns - 1
        text = visible(text)[:columns]
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
