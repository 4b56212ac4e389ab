"""The log of a session as a graph: which execution each value comes from."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.sources import DRAWN, RANDOM, SourceLink, Sources, Step

__all__ = ["DRAWN", "LASTING", "RANDOM", "Lineage", "SourceLink", "Step"]

#: Effects that anything later may depend on without using a name. Files are tracked by their path.
LASTING = frozenset(("@shell", "@cwd", "@environ", "@packages", RANDOM, "@path", "@modules", "@warnings"))

_FILE, _WRITE = "@file:", "@write:"


class Lineage:
    """The executions of a session in their order, each with the sources of the names it uses.

    Binding a name discards its earlier sources; changing its value adds one. Executions may be
    added as they happen: links of earlier ones never change.
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
        # A seed resets the generator, a draw advances it.
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
        """Return the executions of a source in their order; trailing white space is ignored."""
        return self._of_source.get(source.rstrip(), ())

    def of_cell(self, cell_id: str) -> Sequence[CellExecuted]:
        """Return the executions of a cell of the notebook in their order."""
        return self._of_cell.get(cell_id, ())

    def before(self, uid: str, other: str) -> bool:
        """Whether an execution ran before another one."""
        return self._order[uid] < self._order[other]

    def in_effect(self, uid: str) -> dict[str, dict[str, SourceLink]]:
        """Find the executions that must be repeated to reproduce one, judging by names and files.

        Returns
        -------
        dict of str to dict
            The executions that it depends on in their order, itself last, each with the names it uses and their
            sources. Executions that may have changed nothing, and those that a later execution repeated, are left
            out: a cell that ran twice without using its own result counts once.
        """
        found: set[str] = set()
        # Latest first: dependents of an execution come before it, and earlier readers of a name have fewer sources.
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
        """Whether an execution derived the new value of a name from the old one."""
        return self.steps[uid].builds_on_itself(name)

    def dependencies(self, uid: str) -> list[str]:
        """Return the executions that one depends on in their order, itself last.

        These are the sources of the values it uses and, because the source does not show which of them matter, all
        earlier executions with `LASTING` effects outside of the namespace.
        """
        here = self._order[uid]
        return self._closure([uid, *(other for other in self._lasting if self._order[other] < here)])

    def unknown(self, uid: str) -> set[str]:
        """Return the names that an execution uses and no earlier one bound."""
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
        #: How many sources of a name were followed already.
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
