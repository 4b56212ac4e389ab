"""Whether a notebook, run from top to bottom, repeats the code of a run, and the reasons why not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.graph import DRAWN, Lineage, SourceLink, Step
from mlops_workbench.notebooks.lineage.reruns import Reruns
from mlops_workbench.notebooks.lineage.source_counts import CellGroups, Positions
from mlops_workbench.notebooks.lineage.sources import Sources
from mlops_workbench.notebooks.names.nouns import CellNames

#: Start of every warning.
BECAUSE = "not reproducible from this notebook, because "

_MAX_WARNINGS = 20
_QUOTED = 40


@dataclass(frozen=True)
class SavedCell:
    """A code cell of a notebook on disk."""

    id: str
    source: str


@dataclass(frozen=True)
class SavedNotebook:
    """A notebook on disk.

    Attributes
    ----------
    cells : tuple of SavedCell
        Its code cells, from top to bottom.
    saved_ms : int
        Time of saving, ms since the epoch: code that ran later may be missing from it.
    """

    cells: tuple[SavedCell, ...]
    saved_ms: int

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Positions of the cells by their id."""
        return {cell.id: position for position, cell in enumerate(self.cells) if cell.id}

    @cached_property
    def by_source(self) -> dict[str, list[int]]:
        """Positions of the cells by their source."""
        found: dict[str, list[int]] = {}
        for position, cell in enumerate(self.cells):
            found.setdefault(_text(cell.source), []).append(position)
        return found


def objections(
    lineage: Lineage,
    uid: str,
    notebook: SavedNotebook | None,
    *,
    given: frozenset[str] = frozenset(),
    names_of: Callable[[str], CellNames] | None = None,
) -> list[str]:
    """Return the reasons why running a notebook from top to bottom does not repeat an execution.

    Differences to a notebook that was saved before the cell ran are ignored, because the change may just not be
    saved yet.

    Parameters
    ----------
    lineage : Lineage
        The session, up to and including the execution.
    uid : str
        The execution.
    notebook : SavedNotebook or None
        The notebook on disk; None when it is unknown.
    given : frozenset of str
        Names that exist although no cell of the session created them.
    names_of : callable, optional
        Returns the names of a cell from its source, for cells that did not run.

    Returns
    -------
    list of str
        Sentences in reading order.
    """
    return _Comparison(lineage, uid, notebook, given, names_of).warnings()


class _Comparison:
    def __init__(
        self,
        lineage: Lineage,
        uid: str,
        notebook: SavedNotebook | None,
        given: frozenset[str],
        names_of: Callable[[str], CellNames] | None,
    ) -> None:
        self._lineage = lineage
        self._uid = uid
        self._links = lineage.in_effect(uid)
        self._ran = {other: lineage.steps[other].execution for other in self._links}
        self._given = given
        self._names_of = names_of
        self._notebook = notebook if notebook is not None and _belongs(notebook, self._ran.values()) else None
        self._places = self._place(self._notebook) if self._notebook is not None else {}
        #: Distinct reasons in their order, and the number of those that are not shown.
        self._reasons: dict[str, None] = {}
        self._hidden = 0
        counts = {execution.count for execution in self._ran.values()}
        self._counts_differ = 0 not in counts and len(counts) == len(self._ran)

    def warnings(self) -> list[str]:
        self._given_names()
        self._stale()
        self._repeated()
        if self._notebook is not None:
            self._missing(self._notebook)
            self._out_of_order()
            self._skipped(self._notebook)
        reasons = list(self._reasons)
        left = len(reasons) + self._hidden - _MAX_WARNINGS
        if left > 0:
            reasons[_MAX_WARNINGS:] = [f"of {left} more such reasons"]
        return [BECAUSE + reason for reason in reasons]

    def _place(self, notebook: SavedNotebook) -> dict[str, tuple[int, bool]]:
        """Return the position in the notebook of each execution that has one, and whether its source is unchanged."""
        places: dict[str, tuple[int, bool]] = {}
        for uid, execution in self._ran.items():
            position = notebook.by_id.get(execution.cell_id)
            copies = notebook.by_source.get(_text(execution.source), [])
            if position is not None:
                places[uid] = position, position in copies
            elif len(copies) == 1:
                places[uid] = copies[0], True
        return places

    def _cell(self, uid: str) -> str:
        execution = self._lineage.steps[uid].execution
        return f"In[{execution.count}]" if execution.count else f"the code '{_line(execution.source)}'"

    def _is_saved(self, source: str) -> bool:
        """Whether the notebook has a cell with this source."""
        return self._notebook is not None and _text(source) in self._notebook.by_source

    def _add(self, reasons: Iterable[str], number: int, *, distinct: bool = True) -> None:
        """Add `number` reasons; those that will not be shown are only counted, if they are known to be distinct."""
        if distinct and self._counts_differ and len(self._reasons) >= _MAX_WARNINGS:
            self._hidden += number
        elif number:
            self._reasons.update(dict.fromkeys(reasons))

    def _given_names(self) -> None:
        for uid, execution in self._ran.items():
            unknown = self._lineage.unknown(uid) & self._given
            for name in (name for name in execution.reads if name in unknown):
                self._reasons[f"{self._cell(uid)} uses {name}, which no cell of this session created"] = None

    def _stale(self) -> None:
        """Add cells that were edited and run again, while the run depends on their earlier execution."""
        reruns: dict[str, Reruns] = {}
        for uid, execution in self._ran.items():
            cell = execution.cell_id
            if not cell:
                continue
            if cell not in reruns:
                reruns[cell] = self._reruns(cell)
            other = reruns[cell].last_other(_text(execution.source), saved=self._is_saved(execution.source))
            if other is not None and self._lineage.before(uid, other):
                self._add(self._stale_use(uid, other), 1)

    def _reruns(self, cell: str) -> Reruns:
        saved_ms = self._notebook.saved_ms if self._notebook is not None else 0
        return Reruns(
            (other.uid, _text(other.source), other.started_ms > saved_ms)
            for other in self._lineage.of_cell(cell)
            if other.uid not in self._ran and self._lineage.before(other.uid, self._uid)
        )

    def _stale_use(self, uid: str, other: str) -> Iterator[str]:
        yield (
            f"the cell of {self._cell(uid)} was edited and run again as {self._cell(other)}, "
            f"but the run still uses {self._made(uid)} of the earlier version"
        )

    def _repeated(self) -> None:
        """Add cells that ran again on their own result, or on that of an earlier version of them."""
        groups: dict[Sources, CellGroups] = {}
        for reader, links in self._links.items():
            distinct = _look_different(links)
            for name, link in links.items():
                if link.sources not in groups:
                    groups[link.sources] = CellGroups(link.sources, self._cell_and_text)
                builds = self._lineage.builds_on_itself(reader, name)
                number = groups[link.sources].same_cell(link, reader, same_text=builds)
                self._add(self._ran_again(reader, name, link, builds), number, distinct=distinct)

    def _ran_again(self, reader: str, name: str, link: SourceLink, builds: bool) -> Iterator[str]:
        cell, text = self._cell_and_text(reader)
        for source in link:
            other_cell, other_text = self._cell_and_text(source)
            if cell is None or cell != other_cell:
                continue
            if text != other_text:
                yield (
                    f"the cell of {self._cell(source)} was edited and run again as {self._cell(reader)}, "
                    f"which continued with {_thing(name)} of the earlier version"
                )
            elif builds:
                yield (
                    f"{self._cell(source)} and {self._cell(reader)} are the same cell, run again on its own "
                    f"result ({_thing(name)})"
                )

    def _missing(self, notebook: SavedNotebook) -> None:
        """Add executions whose source is not in the notebook."""
        with_ids = any(execution.cell_id for execution in self._ran.values())
        for uid, execution in self._ran.items():
            if self._is_saved(execution.source):
                continue
            cell, code = self._cell(uid), f"('{_line(execution.source)}')"
            if with_ids and not execution.cell_id and execution.status != "unknown":
                reason = f"{cell} ran outside of the notebook, in a console or a program"
            elif notebook.saved_ms < execution.started_ms:
                continue
            elif uid in self._places:
                reason = f"the cell of {cell} was edited after it ran"
            elif with_ids and _known_ids(notebook, self._ran.values()):
                reason = f"{cell} {code} is not a cell of the notebook: it was deleted, or ran in a console"
            else:
                reason = f"the code of {cell} {code} is not in the saved notebook"
            self._reasons[reason] = None

    def _out_of_order(self) -> None:
        positions: dict[Sources, Positions] = {}
        for reader, links in self._links.items():
            if reader not in self._places:
                continue
            place = self._places[reader][0]
            distinct = _look_different(links)
            for name, link in links.items():
                number = self._positions(link, positions).count_below(place)
                self._add(self._below(reader, name, link), number, distinct=distinct)

    def _below(self, reader: str, name: str, link: SourceLink) -> Iterator[str]:
        for source in link:
            if source in self._places and self._places[source][0] > self._places[reader][0]:
                yield f"{self._cell(source)}, which made {_thing(name)} for {self._cell(reader)}, is below it"

    def _positions(self, link: SourceLink, positions: dict[Sources, Positions]) -> Positions:
        """Return the positions of a reader's sources; readers must be given in the order in which they ran."""
        if link.replaced:
            return Positions(self._position_of).add(link)
        if link.sources not in positions:
            positions[link.sources] = Positions(self._position_of)
        return positions[link.sources].advance(link)

    def _position_of(self, uid: str) -> int | None:
        place = self._places.get(uid)
        return None if place is None else place[0]

    def _skipped(self, notebook: SavedNotebook) -> None:
        """Add cells that would change a value, run from top to bottom, before the run uses it."""
        if self._uid not in self._places:
            return
        last = self._places[self._uid][0]
        document = Lineage()
        for position in range(last + 1):
            document.add(self._step_at(position, notebook))
        known = {position for position, _ in self._places.values()}
        expected = document.in_effect(str(last))
        positions: dict[Sources, Positions] = {}
        others: dict[Sources, list[int]] = {}
        for reader, links in self._links.items():
            place, same = self._places.get(reader, (0, False))
            if not same or str(place) not in expected:
                continue
            for name, link in links.items():
                planned = expected[str(place)].get(name)
                actual = self._positions(link, positions)
                if planned is None or not actual.all_differ or actual.last > place:
                    continue
                above = others.get(planned.sources)
                if above is None:
                    above = others[planned.sources] = [
                        position for position in map(int, planned.sources.uids) if position not in known
                    ]
                for position in above[bisect_right(above, actual.first) :]:
                    if position >= place:
                        break
                    if str(position) in planned:
                        cell = f"'{_line(notebook.cells[position].source)}' above {self._cell(reader)}"
                        when = self._when(position, notebook)
                        self._reasons[f"the cell {cell} sets {_thing(name)} too, but {when}"] = None

    def _step_at(self, position: int, notebook: SavedNotebook) -> Step:
        """Return the last execution of a cell with its saved source, else a step derived from the source."""
        cell = notebook.cells[position]
        executed = self._executed(cell, notebook)
        if executed is not None:
            found = self._lineage.steps[executed.uid]
        else:
            names = self._names_of(cell.source) if self._names_of is not None else CellNames()
            execution = CellExecuted(
                "", 0, cell.id, cell.source, 0, 0, "ok",
                reads=list(names.reads), writes=sorted(names.writes), kills=sorted(names.kills),
                deletes=sorted(names.deletes),
            )  # fmt: skip
            slots = {name: frozenset(keys) for name, keys in names.slots.items()}
            own = frozenset(names.reads) - names.exposed
            found = Step(execution, slots=slots, repeats=frozenset(names.repeats), own=own)
        return replace(found, execution=msgspec.structs.replace(found.execution, uid=str(position), count=0))

    def _executed(self, cell: SavedCell, notebook: SavedNotebook) -> CellExecuted | None:
        """Return the last execution of a cell with its saved source, or None."""
        for found in reversed(self._lineage.of_source(cell.source)):
            # Some clients send no ids, or ids that differ from those in the file.
            if found.cell_id == cell.id or found.cell_id not in notebook.by_id:
                return found
        return None

    def _when(self, position: int, notebook: SavedNotebook) -> str:
        ran = self._executed(notebook.cells[position], notebook) is not None
        return "did not run in between" if ran else "did not run"

    def _cell_and_text(self, uid: str) -> tuple[str | None, str]:
        """Return an identifier of the cell of an execution, None when it is unknown, and the source."""
        execution = self._lineage.steps[uid].execution
        text = _text(execution.source)
        if execution.cell_id:
            return f"id {execution.cell_id}", text
        # Code identifies a cell only if no other cell of the notebook has the same code.
        return (f"text {text}" if uid in self._places else None), text

    def _made(self, uid: str) -> str:
        names = {name for links in self._links.values() for name, sources in links.items() if uid in sources}
        return ", ".join(_thing(name) for name in sorted(names)) or "the result"


def _belongs(notebook: SavedNotebook, ran: Collection[CellExecuted]) -> bool:
    """Whether the cells ran from this notebook: a kernel may have been given the name of another one."""
    if _known_ids(notebook, ran):
        return True
    return 2 * sum(_text(execution.source) in notebook.by_source for execution in ran) >= len(ran)


def _known_ids(notebook: SavedNotebook, ran: Collection[CellExecuted]) -> bool:
    return any(execution.cell_id in notebook.by_id for execution in ran)


def _text(source: str) -> str:
    return source.rstrip()


def _thing(name: str) -> str:
    if name.startswith(DRAWN):
        return f"the random numbers of {name.removeprefix(DRAWN)}"
    return name.removeprefix("@file:")


def _look_different(names: Collection[str]) -> bool:
    return len({_thing(name) for name in names}) == len(names)


def _line(source: str) -> str:
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"
