"""The log of a session as a graph: which execution each value comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from heapq import heappop, heappush
from pathlib import PurePath

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.lasting import is_lasting, needed
from mlops_workbench.notebooks.lineage.sources import DRAWN, RANDOM, SourceLink, Sources, Step

__all__ = ["DRAWN", "RANDOM", "Lineage", "SourceLink", "Step"]

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
        self._lasting: list[CellExecuted] = []
        #: Files of the modules that cells wrote, by name.
        self._modules: dict[str, str] = {}

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
        read_files += [file for name, file in self._modules.items() if _imports(execution.source, name)]
        # A seed resets the generator, a draw advances it.
        moved = [effect for effect in execution.effects if effect.startswith(DRAWN)]
        drawn = moved if RANDOM not in execution.effects else []
        kills = set(execution.kills)
        self.links[uid] = {
            name: self._link(step, name) for name in (*step.uses, *read_files, *drawn) if name in self._sources
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
            if file.endswith(".py"):
                self._modules[PurePath(file).stem] = _FILE + file
        if execution.count:
            for name in (f"_{execution.count}", "_"):
                self._sources.pop(name, None)
                self._add(name, step)
        if is_lasting(execution):
            self._lasting.append(execution)

    def of_source(self, source: str) -> Sequence[CellExecuted]:
        """Return the executions of a source in their order; trailing white space is ignored."""
        return self._of_source.get(source.rstrip(), ())

    def of_cell(self, cell_id: str) -> Sequence[CellExecuted]:
        """Return the executions of a cell of the notebook in their order."""
        return self._of_cell.get(cell_id, ())

    def before(self, uid: str, other: str) -> bool:
        """Whether an execution ran before another one."""
        return self._order[uid] < self._order[other]

    def in_effect(self, *uids: str) -> dict[str, dict[str, SourceLink]]:
        """Find the executions that must be repeated to reproduce some, judging by names and files.

        Returns
        -------
        dict of str to dict
            The executions that they depend on and themselves in their order, each with the names it uses and their
            sources. Executions that may have changed nothing, and those that a later execution repeated, are left
            out: a cell that ran twice without using its own result counts once.
        """
        found: set[str] = set()
        # Latest first: dependents of an execution come before it, and earlier readers of a name have fewer sources.
        waiting = sorted(-self._order[uid] for uid in uids)
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

    def upstream(self, uid: str) -> list[str]:
        """Return the executions that must be repeated to reproduce one in their order, itself last.

        Besides those that `in_effect` finds, these are the earlier ones with effects outside of the namespace that
        they need; see `lasting`.
        """
        here, last = self._order[uid], self.steps[uid].execution
        lasting = [one for one in self._lasting if self._order[one.uid] < here]
        found = self.in_effect(uid)
        while True:
            more = needed(lasting, (self.steps[other].execution for other in found), last)
            if all(other in found for other in more):
                return list(found)
            found = self.in_effect(*found, *more)

    def unknown(self, uid: str) -> set[str]:
        """Return the names that an execution uses and no earlier one bound."""
        return set(self.steps[uid].uses) - set(self.links[uid])

    def _link(self, step: Step, name: str) -> SourceLink:
        sources = self._sources[name]
        replaced = sources.replaced_by(step) if step.changes(name) else ()
        return SourceLink(sources, len(sources.uids), frozenset(replaced))

    def _add(self, name: str, step: Step) -> None:
        if (sources := self._sources.get(name)) is None:
            sources = self._sources[name] = Sources(name)
        sources.add(step)


def _imports(source: str, module: str) -> bool:
    return re.search(rf"^\s*(import|from)\b.*\b{re.escape(module)}\b", source, re.MULTILINE) is not None
