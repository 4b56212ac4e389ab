"""Sources of a name counted for its readers, one after the other: each source is looked at once, not by every reader.

Readers must come in the order in which they ran.
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
    """How many sources of a name in effect are executions of one cell.

    Parameters
    ----------
    sources : Sources
        Those of the name.
    cell_and_text : callable
        Tells the cell of an execution, None when it cannot be told, and its source.
    """

    def __init__(self, sources: Sources, cell_and_text: Callable[[str], tuple[str | None, str]]) -> None:
        self._sources = sources
        self._cell_and_text = cell_and_text
        self._groups: dict[str, _Group] = {}
        self._counted = 0

    def same_cell(self, link: SourceLink, reader: str, *, same_text: bool) -> int:
        """How many sources are of the reader's cell, with another source than it or, on demand, with the same."""
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
        for uid, came in self._sources.turns(self._counted, link.count):
            cell, text = self._cell_and_text(uid)
            if cell is not None:
                group = self._groups.setdefault(cell, _Group())
                group.size += 1 if came else -1
                group.texts[text] += 1 if came else -1
        self._counted = link.count


class Positions:
    """Where in a notebook the sources of a name in effect stand.

    Parameters
    ----------
    position_of : callable
        Position of the cell of an execution, None when it has none.
    """

    def __init__(self, position_of: Callable[[str], int | None]) -> None:
        self._position_of = position_of
        self._counted = 0
        self._all: list[int] = []
        self._counts: Counter[int] = Counter()
        self._size = 0

    def until(self, link: SourceLink) -> Positions:
        """These, for the next reader."""
        for uid, came in link.sources.turns(self._counted, link.count):
            self._turn(uid, came=came)
        self._counted = link.count
        return self

    def having(self, link: SourceLink) -> Positions:
        """These, for one reader alone."""
        for uid in link:
            self._turn(uid, came=True)
        return self

    @property
    def all_differ(self) -> bool:
        """Whether there are any, and each has a position of its own."""
        return 0 < self._size == len(self._counts)

    @property
    def first(self) -> int:
        """The uppermost position."""
        return self._all[0]

    @property
    def last(self) -> int:
        """The lowest position."""
        return self._all[-1]

    def above(self, position: int) -> int:
        """How many have a greater position."""
        return len(self._all) - bisect_right(self._all, position)

    def _turn(self, uid: str, *, came: bool) -> None:
        position = self._position_of(uid)
        self._size += 1 if came else -1
        if position is None:
            return
        if came:
            self._counts[position] += 1
            insort(self._all, position)
            return
        del self._all[bisect_left(self._all, position)]
        self._counts[position] -= 1
        if not self._counts[position]:
            del self._counts[position]
