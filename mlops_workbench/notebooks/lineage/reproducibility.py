"""Whether a notebook, run from top to bottom, is the code that made a run: if not, why, in plain words."""

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

#: How every warning begins.
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
        When it was saved, ms since the epoch: what ran later may not be in it yet.
    """

    cells: tuple[SavedCell, ...]
    saved_ms: int

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Positions of the cells that have an id."""
        return {cell.id: position for position, cell in enumerate(self.cells) if cell.id}

    @cached_property
    def by_source(self) -> dict[str, list[int]]:
        """Positions of the cells with a source."""
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
    """What speaks against repeating an execution by running its notebook from top to bottom.

    Only what is known is said: a difference to a notebook that was saved before the cell ran may just not be saved
    yet, and says nothing.

    Parameters
    ----------
    lineage : Lineage
        The session, up to and with the execution.
    uid : str
        The execution.
    notebook : SavedNotebook or None
        The notebook as it is on disk; None when it is unknown.
    given : frozenset of str
        Names that no cell of the session made though they exist: put there from outside.
    names_of : callable, optional
        Names of a cell by its source, for cells that did not run.

    Returns
    -------
    list of str
        Sentences in the order in which to read them.
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
        #: Distinct ones in their order, and how many more there are that nobody will read.
        self._reasons: dict[str, None] = {}
        self._more = 0
        counts = {execution.count for execution in self._ran.values()}
        self._told_apart = 0 not in counts and len(counts) == len(self._ran)

    def warnings(self) -> list[str]:
        self._given_names()
        self._stale()
        self._repeated()
        if self._notebook is not None:
            self._gone(self._notebook)
            self._out_of_order()
            self._skipped(self._notebook)
        reasons = list(self._reasons)
        left = len(reasons) + self._more - _MAX_WARNINGS
        if left > 0:
            reasons[_MAX_WARNINGS:] = [f"of {left} more such reasons"]
        return [BECAUSE + reason for reason in reasons]

    # Where things are

    def _place(self, notebook: SavedNotebook) -> dict[str, tuple[int, bool]]:
        """Position in the notebook of each execution that has one, and whether its source is what stands there."""
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

    def _stands(self, source: str, since: int = 0) -> bool:
        """Whether the notebook, saved no earlier than `since`, has a cell with this source."""
        notebook = self._notebook
        return notebook is not None and notebook.saved_ms >= since and _text(source) in notebook.by_source

    # Reasons

    def _say(self, reason: str) -> None:
        self._reasons[reason] = None

    def _say_each(self, reasons: Iterable[str], number: int, *, distinct: bool = True) -> None:
        """Say so many reasons; those beyond what is shown are counted, if each is known to differ from all others."""
        if distinct and self._told_apart and len(self._reasons) >= _MAX_WARNINGS:
            self._more += number
        elif number:
            self._reasons.update(dict.fromkeys(reasons))

    def _given_names(self) -> None:
        for uid, execution in self._ran.items():
            unknown = self._lineage.unknown(uid) & self._given
            for name in (name for name in execution.reads if name in unknown):
                self._say(f"{name}, which {self._cell(uid)} uses, was made by no cell of this session")

    def _stale(self) -> None:
        """A cell was edited and run again, and the run still rests on what it did before."""
        reruns: dict[str, Reruns] = {}
        for uid, execution in self._ran.items():
            cell = execution.cell_id
            if not cell:
                continue
            if cell not in reruns:
                reruns[cell] = self._reruns(cell)
            other = reruns[cell].last_other(_text(execution.source), stands=self._stands(execution.source))
            if other is not None and self._lineage.before(uid, other):
                self._say_each(self._is_stale(uid, other), 1)

    def _reruns(self, cell: str) -> Reruns:
        """Executions of a cell that the run does not rest on."""
        saved_ms = self._notebook.saved_ms if self._notebook is not None else 0
        return Reruns(
            (other.uid, _text(other.source), other.started_ms > saved_ms)
            for other in self._lineage.of_cell(cell)
            if other.uid not in self._ran and self._lineage.before(other.uid, self._uid)
        )

    def _is_stale(self, uid: str, other: str) -> Iterator[str]:
        yield (
            f"the cell of {self._cell(uid)} was edited and run again as {self._cell(other)}, "
            f"and the run still uses {self._made(uid)} from before"
        )

    def _repeated(self) -> None:
        """A cell ran again on its own result, or an older version of it still counts."""
        groups: dict[Sources, CellGroups] = {}
        for reader, links in self._links.items():
            distinct = _look_different(links)
            for name, link in links.items():
                if link.sources not in groups:
                    groups[link.sources] = CellGroups(link.sources, self._cell_and_text)
                builds = self._lineage.builds_on_itself(reader, name)
                number = groups[link.sources].same_cell(link, reader, same_text=builds)
                self._say_each(self._ran_again(reader, name, link, builds), number, distinct=distinct)

    def _ran_again(self, reader: str, name: str, link: SourceLink, builds: bool) -> Iterator[str]:
        cell, text = self._cell_and_text(reader)
        for source in link:
            other_cell, other_text = self._cell_and_text(source)
            if cell is None or cell != other_cell:
                continue
            if text != other_text:
                yield (
                    f"the cell of {self._cell(source)} was edited and run again as {self._cell(reader)}, "
                    f"which went on with {_thing(name)} as it was"
                )
            elif builds:
                yield (
                    f"{self._cell(source)} and {self._cell(reader)} are the same cell, run again on its own "
                    f"result ({_thing(name)})"
                )

    def _gone(self, notebook: SavedNotebook) -> None:
        """What ran is not in the notebook, or no longer as it was."""
        with_ids = any(execution.cell_id for execution in self._ran.values())
        for uid, execution in self._ran.items():
            place = self._places.get(uid)
            if self._stands(execution.source):
                continue
            if with_ids and not execution.cell_id and execution.status != "unknown":
                self._say(f"{self._cell(uid)} was typed outside of the notebook, in a console or a program")
            elif notebook.saved_ms < execution.started_ms:
                continue
            elif place is not None:
                self._say(f"the cell of {self._cell(uid)} was edited after it ran")
            elif with_ids and _known_ids(notebook, self._ran.values()):
                self._say(
                    f"{self._cell(uid)} ('{_line(execution.source)}') is no cell of the notebook: deleted since, or "
                    "run in a console"
                )
            else:
                self._say(
                    f"the code of {self._cell(uid)} ('{_line(execution.source)}') is not in the notebook as saved"
                )

    def _out_of_order(self) -> None:
        positions: dict[Sources, Positions] = {}
        for reader, links in self._links.items():
            if reader not in self._places:
                continue
            place = self._places[reader][0]
            distinct = _look_different(links)
            for name, link in links.items():
                number = self._seen_by(link, positions).above(place)
                self._say_each(self._below(reader, name, link), number, distinct=distinct)

    def _below(self, reader: str, name: str, link: SourceLink) -> Iterator[str]:
        for source in link:
            if source in self._places and self._places[source][0] > self._places[reader][0]:
                yield f"{self._cell(source)}, which made {_thing(name)} for {self._cell(reader)}, stands below it"

    def _seen_by(self, link: SourceLink, positions: dict[Sources, Positions]) -> Positions:
        """Positions in the notebook of what a reader has a name from; readers must come in their order."""
        if link.replaced:
            return Positions(self._position_of).having(link)
        if link.sources not in positions:
            positions[link.sources] = Positions(self._position_of)
        return positions[link.sources].until(link)

    def _position_of(self, uid: str) -> int | None:
        place = self._places.get(uid)
        return None if place is None else place[0]

    def _skipped(self, notebook: SavedNotebook) -> None:
        """From top to bottom, another cell would have its say before a value is used."""
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
                wanted = expected[str(place)].get(name)
                actual = self._seen_by(link, positions)
                if wanted is None or not actual.all_differ or actual.last > place:
                    continue
                above = others.get(wanted.sources)
                if above is None:
                    above = others[wanted.sources] = [
                        position for position in map(int, wanted.sources.uids) if position not in known
                    ]
                for position in above[bisect_right(above, actual.first) :]:
                    if position >= place:
                        break
                    if str(position) in wanted:
                        self._say(
                            f"the cell '{_line(notebook.cells[position].source)}', which stands above "
                            f"{self._cell(reader)}, sets {_thing(name)} too, but {self._when(position, notebook)}"
                        )

    def _step_at(self, position: int, notebook: SavedNotebook) -> Step:
        """What a cell of the notebook did when it last ran as it is saved, else what its source alone tells."""
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
            found = Step(execution, slots=slots, repeats=frozenset(names.repeats))
        return replace(found, execution=msgspec.structs.replace(found.execution, uid=str(position), count=0))

    def _executed(self, cell: SavedCell, notebook: SavedNotebook) -> CellExecuted | None:
        """The last execution of a cell as it is saved."""
        for found in reversed(self._lineage.of_source(cell.source)):
            # Some clients send no ids, or others than those in the file.
            if found.cell_id == cell.id or found.cell_id not in notebook.by_id:
                return found
        return None

    def _when(self, position: int, notebook: SavedNotebook) -> str:
        ran = self._executed(notebook.cells[position], notebook) is not None
        return "did not run in between" if ran else "did not run"

    def _cell_and_text(self, uid: str) -> tuple[str | None, str]:
        """What tells the cell of an execution, and its source; None when the cell cannot be told."""
        execution = self._lineage.steps[uid].execution
        text = _text(execution.source)
        if execution.cell_id:
            return f"id {execution.cell_id}", text
        # Two cells of a notebook may hold the same code: it must be known that this one does not.
        return (f"text {text}" if uid in self._places else None), text

    def _made(self, uid: str) -> str:
        names = {name for links in self._links.values() for name, sources in links.items() if uid in sources}
        return ", ".join(_thing(name) for name in sorted(names)) or "what it did"


def _belongs(notebook: SavedNotebook, ran: Collection[CellExecuted]) -> bool:
    """Whether this is the notebook that the cells ran from: a kernel may have been told of another one."""
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
