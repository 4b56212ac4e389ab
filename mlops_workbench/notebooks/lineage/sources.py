"""The executions that bound a name or changed its value since, and which of them are in effect.

A session may draw hundreds of times from one generator, and every draw depends on all before it. To keep this cheap,
readers of a name share one list of its sources, each with its length at the time of reading; a repeated execution is
recorded once, by the execution that repeats it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlops_workbench.core.records import CellExecuted

#: Effects: random numbers were seeded; the generator of a library (its name follows) was advanced or seeded.
RANDOM, DRAWN = "@random", "@drawn:"

_IN_EFFECT = sys.maxsize


@dataclass(frozen=True)
class Step:
    """An execution with facts beyond its record.

    Attributes
    ----------
    execution : CellExecuted
        Its names and effects.
    rebound : frozenset of str
        Those of its `writes` that held another object after it: their earlier value was replaced.
    unsure : frozenset of str
        Those of its `writes` that it may not have changed.
    slots : mapping of str to frozenset
        For names that it changed only by assigning to items or attributes, these; assigning them again replaces
        the earlier assignment.
    repeats : frozenset of str
        Names whose new value it derived from the old one.
    own : frozenset of str
        Those of its `reads` that it bound itself before it used them, also where it may not have bound them.
    """

    execution: CellExecuted
    rebound: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()
    slots: Mapping[str, frozenset[object]] = field(default_factory=dict)
    repeats: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    @property
    def uses(self) -> list[str]:
        """Those of its `reads` whose values come from before it."""
        within = self.own.union(self.execution.kills)
        return [name for name in self.execution.reads if name not in within]

    def builds_on_itself(self, name: str) -> bool:
        """Whether it derived the new value of a name from the old one."""
        return name in self.repeats or name.startswith(DRAWN)

    def changes(self, name: str) -> bool:
        """Whether it changed the value of a name, or the generator of a library."""
        execution = self.execution
        return name in execution.writes or (name.startswith(DRAWN) and name in execution.effects)


class Sources:
    """Executions that bound a name and changed its value since, in their order.

    Parameters
    ----------
    name : str
        The name, file or generator.

    Attributes
    ----------
    uids : list of str
        The executions; it only grows.
    """

    def __init__(self, name: str) -> None:
        self.uids: list[str] = []
        self._name = name
        #: For each of them the position of the one that repeated it; -1 if it may have changed nothing.
        self._until: list[int] = []
        self._replaced: list[tuple[int, ...]] = []
        self._positions: dict[str, int] = {}
        self._slots: list[frozenset[object]] = []
        self._by_source: dict[str, list[int]] = {}
        #: Those that only assigned to slots, each under one of its slots.
        self._by_slot: dict[object, list[int]] = {}

    def add(self, step: Step) -> None:
        """Add the next execution."""
        here, uid = len(self.uids), step.execution.uid
        sure = self._name not in step.unsure
        replaced = self.replaced_by(step) if sure else ()
        for position in replaced:
            self._until[position] = here
        self._positions[uid] = here
        self._replaced.append(replaced)
        self._until.append(_IN_EFFECT if sure else -1)
        slots = step.slots.get(self._name, frozenset())
        self._slots.append(slots)
        if sure:
            self._by_source.setdefault(step.execution.source, []).append(here)
            if slots:
                self._by_slot.setdefault(next(iter(slots)), []).append(here)
        self.uids.append(uid)

    def replaced_by(self, step: Step) -> tuple[int, ...]:
        """Return the positions of the executions in effect that an execution repeats completely."""
        if step.builds_on_itself(self._name):
            return ()
        same = self._by_source.get(step.execution.source, [])
        found = dict.fromkeys(self._drop_replaced(same))
        slots = step.slots.get(self._name, frozenset())
        for slot in slots:
            assigned = self._by_slot.get(slot, [])
            found.update((one, None) for one in self._drop_replaced(assigned) if self._slots[one] <= slots)
        return tuple(found)

    def position(self, uid: str) -> int | None:
        """Return the position of an execution, or None."""
        return self._positions.get(uid)

    def in_effect(self, position: int, count: int) -> bool:
        """Whether one of the first `count` executions changed the value and none of them repeated it."""
        return position < count <= self._until[position]

    def replaced_between(self, start: int, stop: int) -> Iterator[int]:
        """Yield the positions that the executions from `start` up to `stop` repeated."""
        for position in range(start, stop):
            yield from self._replaced[position]

    def changes(self, start: int, stop: int) -> Iterator[tuple[str, bool]]:
        """Yield in order the executions that came into effect (True) or were replaced from `start` up to `stop`."""
        for position in range(start, stop):
            for replaced in self._replaced[position]:
                yield self.uids[replaced], False
            if self._until[position] >= 0:
                yield self.uids[position], True

    def _drop_replaced(self, positions: list[int]) -> list[int]:
        positions[:] = [position for position in positions if self._until[position] == _IN_EFFECT]
        return positions


@dataclass(frozen=True, slots=True)
class SourceLink:
    """The sources of a name that an execution uses; iterates over those in effect.

    Attributes
    ----------
    sources : Sources
        Sources of the name; shared with other readers.
    count : int
        How many of them ran before the reader.
    replaced : frozenset of int
        Positions of those that the reader itself repeats.
    """

    sources: Sources
    count: int
    replaced: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[str]:
        sources, count = self.sources, self.count
        for position in range(count):
            if sources.in_effect(position, count) and position not in self.replaced:
                yield sources.uids[position]

    def __contains__(self, uid: object) -> bool:
        position = self.sources.position(uid) if isinstance(uid, str) else None
        return position is not None and self.has(position)

    def has(self, position: int) -> bool:
        """Whether the source at a position is in effect for the reader."""
        return self.sources.in_effect(position, self.count) and position not in self.replaced

    def beyond(self, later: SourceLink | None) -> Iterator[str]:
        """Yield those in effect that are not in effect for a later reader; all of them when `later` is None."""
        if later is None:
            yield from self
            return
        replaced = self.sources.replaced_between(self.count, later.count)
        for position in dict.fromkeys((*replaced, *later.replaced)):
            if self.has(position):
                yield self.sources.uids[position]
