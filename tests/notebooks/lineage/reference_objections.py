"""Simple implementation of the objections to a notebook: it compares each execution with each of its sources."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import msgspec
from reference_lineage import Lineage

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.graph import DRAWN, Step
from mlops_workbench.notebooks.lineage.reproducibility import BECAUSE, SavedCell, SavedNotebook
from mlops_workbench.notebooks.names.nouns import CellNames

_MAX_WARNINGS = 20
_QUOTED = 40


def objections(
    lineage: Lineage,
    uid: str,
    notebook: SavedNotebook | None,
    *,
    given: frozenset[str] = frozenset(),
    names_of: Callable[[str], CellNames] | None = None,
) -> list[str]:
    """Return the expected result of `mlops_workbench.notebooks.lineage.reproducibility.objections`."""
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
        self._reasons: list[str] = []

    def warnings(self) -> list[str]:
        self._given_names()
        self._stale()
        self._repeated()
        if self._notebook is not None:
            self._missing(self._notebook)
            self._out_of_order()
            self._skipped(self._notebook)
        reasons = list(dict.fromkeys(self._reasons))
        left = len(reasons) - _MAX_WARNINGS
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

    def _is_saved(self, source: str, since: int = -1) -> bool:
        """Whether the notebook, saved no earlier than `since`, has a cell with this source."""
        notebook = self._notebook
        return notebook is not None and notebook.saved_ms >= since and _text(source) in notebook.by_source

    # Reasons

    def _given_names(self) -> None:
        for uid, execution in self._ran.items():
            unknown = self._lineage.unknown(uid) & self._given
            for name in (name for name in execution.reads if name in unknown):
                self._reasons.append(f"{self._cell(uid)} uses {name}, which no cell of this session created")

    def _stale(self) -> None:
        """Add cells that were edited and run again, while the run depends on their earlier execution."""
        for uid, execution in self._ran.items():
            if not execution.cell_id:
                continue
            for other in reversed(self._lineage.of_cell(execution.cell_id)):
                if other.uid == uid:
                    break
                if (
                    other.uid not in self._ran
                    and self._lineage.before(other.uid, self._uid)
                    and _text(other.source) != _text(execution.source)
                    and not self._is_saved(execution.source, since=other.started_ms)
                ):
                    self._reasons.append(
                        f"the cell of {self._cell(uid)} was edited and run again as {self._cell(other.uid)}, "
                        f"but the run still uses {self._made(uid)} of the earlier version"
                    )
                    break

    def _repeated(self) -> None:
        """Add cells that ran again on their own result, or on that of an earlier version of them."""
        for reader, links in self._links.items():
            for name, sources in links.items():
                for source in sources:
                    if source == reader or not self._same_cell(source, reader):
                        continue
                    one, other = self._ran[source], self._ran[reader]
                    if _text(one.source) != _text(other.source):
                        self._reasons.append(
                            f"the cell of {self._cell(source)} was edited and run again as {self._cell(reader)}, "
                            f"which continued with {_thing(name)} of the earlier version"
                        )
                    elif self._lineage.builds_on_itself(reader, name):
                        self._reasons.append(
                            f"{self._cell(source)} and {self._cell(reader)} are the same cell, run again on its own "
                            f"result ({_thing(name)})"
                        )

    def _missing(self, notebook: SavedNotebook) -> None:
        """Add executions whose source is not in the notebook."""
        with_ids = any(execution.cell_id for execution in self._ran.values())
        for uid, execution in self._ran.items():
            place = self._places.get(uid)
            if self._is_saved(execution.source):
                continue
            if with_ids and not execution.cell_id and execution.status != "unknown":
                self._reasons.append(f"{self._cell(uid)} ran outside of the notebook, in a console or a program")
            elif notebook.saved_ms < execution.started_ms:
                continue
            elif place is not None:
                self._reasons.append(f"the cell of {self._cell(uid)} was edited after it ran")
            elif with_ids and _known_ids(notebook, self._ran.values()):
                self._reasons.append(
                    f"{self._cell(uid)} ('{_line(execution.source)}') is not a cell of the notebook: it "
                    "was deleted, or ran in a console"
                )
            else:
                self._reasons.append(
                    f"the code of {self._cell(uid)} ('{_line(execution.source)}') is not in the saved notebook"
                )

    def _out_of_order(self) -> None:
        for reader, links in self._links.items():
            if reader not in self._places:
                continue
            for name, sources in links.items():
                for source in sources:
                    if source in self._places and self._places[source][0] > self._places[reader][0]:
                        self._reasons.append(
                            f"{self._cell(source)}, which made {_thing(name)} for {self._cell(reader)}, is below it"
                        )

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
        for reader, links in self._links.items():
            place, same = self._places.get(reader, (0, False))
            if not same or str(place) not in expected:
                continue
            for name, sources in links.items():
                actual = {self._places[source][0] for source in sources if source in self._places}
                if not sources or len(actual) < len(sources) or max(actual) > place:
                    continue
                for position in map(int, expected[str(place)].get(name, ())):
                    if position not in known and position > min(actual):
                        self._reasons.append(
                            f"the cell '{_line(notebook.cells[position].source)}' above "
                            f"{self._cell(reader)} sets {_thing(name)} too, but {self._when(position, notebook)}"
                        )

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
            found = Step(execution, slots=slots, repeats=frozenset(names.repeats))
        return replace(found, execution=msgspec.structs.replace(found.execution, uid=str(position), count=0))

    def _executed(self, cell: SavedCell, notebook: SavedNotebook) -> CellExecuted | None:
        """Return the last execution of a cell with its saved source, or None."""
        for found in reversed(self._lineage.of_source(cell.source)):
            # Some clients send no ids, or others than those in the file.
            if found.cell_id == cell.id or found.cell_id not in notebook.by_id:
                return found
        return None

    def _when(self, position: int, notebook: SavedNotebook) -> str:
        ran = self._executed(notebook.cells[position], notebook) is not None
        return "did not run in between" if ran else "did not run"

    def _same_cell(self, uid: str, other: str) -> bool:
        one, two = self._ran[uid], self._ran[other]
        if one.cell_id or two.cell_id:
            return one.cell_id == two.cell_id
        # Two cells of a notebook may hold the same code: it must be known that this one does not.
        return _text(one.source) == _text(two.source) and uid in self._places

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


def _line(source: str) -> str:
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"
