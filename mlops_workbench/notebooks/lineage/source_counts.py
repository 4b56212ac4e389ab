"""Counts of the sources of a name for each of its readers, updated from reader to reader.

Readers must be given in the order in which they ran.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_workbench.notebooks.lineage.sources import SourceLink, Sources


@dataclass
class _Group:
    size: int = 0
    texts: Counter[str] = field(default_factory=Counter)


class CellGroups:
    """Counts the sources in effect of a name by cell.

    Parameters
    ----------
    sources : Sources
        Sources of the name.
    cell_and_text : callable
        Returns the cell of an execution, None when it is unknown, and its source.
    """

    def __init__(self, sources: Sources, cell_and_text: Callable[[str], tuple[str | None, str]]) -> None:
        self._sources = sources
        self._cell_and_text = cell_and_text
        self._groups: dict[str, _Group] = {}
        self._counted = 0

    def same_cell(self, link: SourceLink, reader: str, *, same_text: bool) -> int:
        """Count the sources from the reader's cell: those with another text or, with `same_text`, all of them."""
        self._count(link)
        cell, text = self._cell_and_text(reader)
        group = self._groups.get(cell) if cell is not None else None
        if group is None:
            return 0
        number = group.size if same_text else group.size - group.texts[text]
        for position in link.replaced:
            other_cell, other_text = self._cell_and_text(self._sources.uids[position])
            number -= other_cell == cell and (same_text or text != other_text)
        return number

    def _count(self, link: SourceLink) -> None:
        for uid, added in self._sources.changes(self._counted, link.count):
            cell, text = self._cell_and_text(uid)
            if cell is not None:
                group = self._groups.setdefault(cell, _Group())
                group.size += 1 if added else -1
                group.texts[text] += 1 if added else -1
        self._counted = link.count


class Positions:
    """Positions in a notebook of the sources in effect of a name.

    Parameters
    ----------
    position_of : callable
        Returns the position of the cell of an execution, or None.
    """

    def __init__(self, position_of: Callable[[str], int | None]) -> None:
        self._position_of = position_of
        self._counted = 0
        self._all: list[int] = []
        self._counts: Counter[int] = Counter()
        self._size = 0

    def advance(self, link: SourceLink) -> Positions:
        """Update to the next reader of the same sources."""
        for uid, added in link.sources.changes(self._counted, link.count):
            self._change(uid, added=added)
        self._counted = link.count
        return self

    def add(self, link: SourceLink) -> Positions:
        """Add all sources of one reader."""
        for uid in link:
            self._change(uid, added=True)
        return self

    @property
    def all_differ(self) -> bool:
        """Whether there are sources and no two of them have the same position."""
        return 0 < self._size == len(self._counts)

    @property
    def first(self) -> int:
        """The smallest position."""
        return self._all[0]

    @property
    def last(self) -> int:
        """The greatest position."""
        return self._all[-1]

    def count_below(self, position: int) -> int:
        """Return how many sources have a greater position."""
        return len(self._all) - bisect_right(self._all, position)

    def _change(self, uid: str, *, added: bool) -> None:
        position = self._position_of(uid)
        self._size += 1 if added else -1
        if position is None:
            return
        if added:
            self._counts[position] += 1
            insort(self._all, position)
            return
        del self._all[bisect_left(self._all, position)]
        self._counts[position] -= 1
        if not self._counts[position]:
            del self._counts[position]
