"""Which execution each value comes from: the log of a session, read as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.sources import DRAWN, RANDOM, SourceLink, Sources, Step

__all__ = ["DRAWN", "LASTING", "RANDOM", "Lineage", "SourceLink", "Step"]

#: Effects that anything later may rest on, though no name shows it. Files are followed by their path.
LASTING = frozenset(("@shell", "@cwd", "@environ", "@packages", RANDOM, "@path", "@modules", "@warnings"))

_FILE, _WRITE = "@file:", "@write:"


class Lineage:
    """The executions of a session in their order, and for each of them where what it uses came from.

    A name that is bound starts anew; one that is changed rests on all who changed it since. Executions may be
    added as they happen: the graph of what has happened never changes.
    """

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        #: For each execution, the names and files that it uses and the executions that these come from.
        self.links: dict[str, dict[str, SourceLink]] = {}
        self._of_source: dict[str, list[CellExecuted]] = {}
        self._of_cell: dict[str, list[CellExecuted]] = {}
        self._sources: dict[str, Sources] = {}
        self._uids: list[str] = []
        self._order: dict[str, int] = {}
        self._lasting: list[str] = []

    def add(self, step: Step) -> None:
        """Add the next execution."""
        execution = step.execution
        uid = execution.uid
        self.steps[uid] = step
        self._order[uid] = len(self._uids)
        self._uids.append(uid)
        self._of_source.setdefault(execution.source.rstrip(), []).append(execution)
        if execution.cell_id:
            self._of_cell.setdefault(execution.cell_id, []).append(execution)
        written = [effect[len(_WRITE) :] for effect in execution.effects if effect.startswith(_WRITE)]
        files = [effect for effect in execution.effects if effect.startswith(_FILE)]
        read_files = [file for file in files if file[len(_FILE) :] not in written]
        # A seed makes the random numbers anew, a draw moves on those that were.
        moved = [effect for effect in execution.effects if effect.startswith(DRAWN)]
        drawn = moved if RANDOM not in execution.effects else []
        kills = set(execution.kills)
        used = [name for name in execution.reads if name not in kills]
        self.links[uid] = {
            name: self._link(step, name) for name in (*used, *read_files, *drawn) if name in self._sources
        }
        for name in execution.deletes:
            self._sources.pop(name, None)
        for name in dict.fromkeys(execution.writes):
            if name in kills or name in step.rebound:
                self._sources.pop(name, None)
            self._add(name, step)
        for library in moved:
            if not drawn:
                self._sources.pop(library, None)
            if not drawn or library in self._sources:
                self._add(library, step)
        for file in written:
            self._add(_FILE + file, step)
        if execution.count:
            for name in (f"_{execution.count}", "_"):
                self._sources.pop(name, None)
                self._add(name, step)
        if not LASTING.isdisjoint(execution.effects):
            self._lasting.append(uid)

    def of_source(self, source: str) -> Sequence[CellExecuted]:
        """Executions of a source, in their order; white space at its end does not matter."""
        return self._of_source.get(source.rstrip(), ())

    def of_cell(self, cell_id: str) -> Sequence[CellExecuted]:
        """Executions of a cell of the notebook, in their order."""
        return self._of_cell.get(cell_id, ())

    def before(self, uid: str, other: str) -> bool:
        """Whether an execution came before another one."""
        return self._order[uid] < self._order[other]

    def in_effect(self, uid: str) -> dict[str, dict[str, SourceLink]]:
        """What a run of cells must repeat to come to an execution, as far as names and files tell.

        Returns
        -------
        dict of str to dict
            The executions that it rests on in their order, itself last, each with the names it uses and where
            they come from. Left out is what only may have changed something, and what a later execution did again: a
            cell that ran twice without building on its own result counts once.
        """
        found: set[str] = set()
        # The latest first: who rests on an execution comes before it, and readers of a name see ever less of it.
        waiting = [-self._order[uid]]
        seen: dict[Sources, SourceLink] = {}
        while waiting:
            reader = self._uids[-heappop(waiting)]
            if reader in found:
                continue
            found.add(reader)
            for link in self.links[reader].values():
                for source in link.beyond(seen.get(link.sources)):
                    if source not in found:
                        heappush(waiting, -self._order[source])
                seen[link.sources] = link
        return {reader: self.links[reader] for reader in sorted(found, key=self._order.__getitem__)}

    def builds_on_itself(self, uid: str, name: str) -> bool:
        """Whether an execution made the new value of a name of the old one."""
        return self.steps[uid].builds_on_itself(name)

    def rests_on(self, uid: str) -> list[str]:
        """Executions that one rests on, in their order, itself last.

        Beside those that made the values it uses, all that changed something lasting outside of the namespace
        before it (`LASTING`): which of them matter nobody can tell from the source.
        """
        here = self._order[uid]
        return self._closure([uid, *(other for other in self._lasting if self._order[other] < here)])

    def unknown(self, uid: str) -> set[str]:
        """Names that an execution uses and that none before it made."""
        execution = self.steps[uid].execution
        return set(execution.reads) - set(execution.kills) - set(self.links[uid])

    def _link(self, step: Step, name: str) -> SourceLink:
        sources = self._sources[name]
        replaced = sources.replaced_by(step) if step.changes(name) else ()
        return SourceLink(sources, len(sources.uids), frozenset(replaced))

    def _add(self, name: str, step: Step) -> None:
        if (sources := self._sources.get(name)) is None:
            sources = self._sources[name] = Sources(name)
        sources.add(step)

    def _closure(self, start: list[str]) -> list[str]:
        found: set[str] = set()
        #: How many of the sources of a name were followed already.
        followed: dict[Sources, int] = {}
        stack = list(start)
        while stack:
            uid = stack.pop()
            if uid in found:
                continue
            found.add(uid)
            for link in self.links[uid].values():
                known = followed.get(link.sources, 0)
                if link.count > known:
                    stack.extend(link.sources.uids[known : link.count])
                    followed[link.sources] = link.count
        return sorted(found, key=self._order.__getitem__)
