"""The lineage of a session the simple way: every reader keeps all of its sources, and all pairs are compared."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.graph import DRAWN, RANDOM, Step

_FILE, _WRITE = "@file:", "@write:"


class Lineage:
    """The executions of a session in their order, and for each of them where what it uses came from.

    A name that is bound starts anew; one that is changed rests on all who changed it since. Executions may be
    added as they happen: the graph of what has happened never changes.
    """

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        #: For each execution, the names and files that it uses and the executions that these come from.
        self.links: dict[str, dict[str, tuple[str, ...]]] = {}
        self._of_source: dict[str, list[CellExecuted]] = {}
        self._of_cell: dict[str, list[CellExecuted]] = {}
        self._sources: dict[str, list[str]] = {}
        self._order: dict[str, int] = {}

    def add(self, step: Step) -> None:
        """Add the next execution."""
        execution = step.execution
        uid = execution.uid
        self.steps[uid] = step
        self._order[uid] = len(self._order)
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
        used = [name for name in execution.reads if name not in kills and name not in step.own]
        self.links[uid] = {
            name: tuple(self._sources[name]) for name in (*used, *read_files, *drawn) if self._sources.get(name)
        }
        for name in execution.deletes:
            self._sources.pop(name, None)
        for name in execution.writes:
            if name in kills or name in step.rebound:
                self._sources[name] = [uid]
                continue
            if uid not in (sources := self._sources.setdefault(name, [])):
                sources.append(uid)
        for library in moved:
            if not drawn:
                self._sources[library] = [uid]
            elif library in self._sources:
                self._sources[library].append(uid)
        for file in written:
            self._sources.setdefault(_FILE + file, []).append(uid)
        if execution.count:
            self._sources[f"_{execution.count}"] = self._sources["_"] = [uid]

    def of_source(self, source: str) -> Sequence[CellExecuted]:
        """Executions of a source, in their order; white space at its end does not matter."""
        return self._of_source.get(source.rstrip(), ())

    def of_cell(self, cell_id: str) -> Sequence[CellExecuted]:
        """Executions of a cell of the notebook, in their order."""
        return self._of_cell.get(cell_id, ())

    def before(self, uid: str, other: str) -> bool:
        """Whether an execution came before another one."""
        return self._order[uid] < self._order[other]

    def in_effect(self, uid: str) -> dict[str, dict[str, tuple[str, ...]]]:
        """What a run of cells must repeat to come to an execution, as far as names and files tell.

        Returns
        -------
        dict of str to dict
            The executions that it rests on in their order, itself last, each with the names it uses and where
            they come from. Left out is what only may have changed something, and what a later execution did again: a
            cell that ran twice without building on its own result counts once.
        """
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        stack = [uid]
        while stack:
            reader = stack.pop()
            if reader in found:
                continue
            found[reader] = {}
            for name, sources in self.links[reader].items():
                sure = [source for source in sources if name not in self.steps[source].unsure]
                later = [*sure, reader] if self._changes(reader, name) else sure
                left = [
                    source
                    for position, source in enumerate(sure)
                    if not any(self._replaced(source, other, name) for other in later[position + 1 :])
                ]
                found[reader][name] = tuple(left)
                stack.extend(left)
        return dict(sorted(found.items(), key=lambda item: self._order[item[0]]))

    def builds_on_itself(self, uid: str, name: str) -> bool:
        """Whether an execution made the new value of a name of the old one."""
        return name in self.steps[uid].repeats or name.startswith(DRAWN)

    def _changes(self, uid: str, name: str) -> bool:
        execution = self.steps[uid].execution
        return name in execution.writes or (name.startswith(DRAWN) and name in execution.effects)

    def _replaced(self, uid: str, by: str, name: str) -> bool:
        """Whether what an execution did to what a name holds was done again, and no more than that."""
        one, other = self.steps[uid], self.steps[by]
        if self.builds_on_itself(by, name):
            return False
        if one.execution.source == other.execution.source:
            return True
        before = one.slots.get(name)
        return before is not None and bool(before) and before <= other.slots.get(name, frozenset())

    def unknown(self, uid: str) -> set[str]:
        """Names that an execution uses and that none before it made."""
        execution = self.steps[uid].execution
        return set(execution.reads) - set(execution.kills) - self.steps[uid].own - set(self.links[uid])
