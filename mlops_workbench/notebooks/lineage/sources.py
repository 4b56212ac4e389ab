"""Who made what a name holds: the executions that bound it or changed it since, and which of them still count.

A session that never seeds again draws hundreds of times from one generator, and every draw rests on all before it. So
that this stays cheap, readers of a name share one list of its sources and know how much of it was there when they read;
and when something is done again is noted once, by whoever does it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlops_workbench.core.records import CellExecuted

#: Effects: random numbers were seeded, and those of a library (its name follows) are not where they were.
RANDOM, DRAWN = "@random", "@drawn:"

_STANDS = sys.maxsize


@dataclass(frozen=True)
class Step:
    """An execution with what is known of it beyond its record.

    Attributes
    ----------
    execution : CellExecuted
        Its names and effects.
    rebound : frozenset of str
        Those of its `writes` that were seen to hold another object after it: what they held before is gone,
        whatever path was taken.
    unsure : frozenset of str
        Those of its `writes` that it may not have changed at all.
    slots : mapping of str to frozenset
        For names that it changed only by assigning to items or attributes, these; assigning them again replaces
        what was assigned before.
    repeats : frozenset of str
        Names whose new value it made of the old one.
    """

    execution: CellExecuted
    rebound: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()
    slots: Mapping[str, frozenset[object]] = field(default_factory=dict)
    repeats: frozenset[str] = frozenset()

    def builds_on_itself(self, name: str) -> bool:
        """Whether it made the new value of a name of the old one."""
        return name in self.repeats or name.startswith(DRAWN)

    def changes(self, name: str) -> bool:
        """Whether it changed what a name holds, or the random numbers of a library."""
        execution = self.execution
        return name in execution.writes or (name.startswith(DRAWN) and name in execution.effects)


class Sources:
    """Executions that made what a name holds since it was bound, in their order.

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
        #: For each of them the position of the one that did the same again; -1 if it may have changed nothing.
        self._until: list[int] = []
        self._replaced: list[tuple[int, ...]] = []
        self._positions: dict[str, int] = {}
        self._slots: list[frozenset[object]] = []
        self._by_source: dict[str, list[int]] = {}
        #: Those that only assigned to slots, each under one slot of its own.
        self._by_slot: dict[object, list[int]] = {}

    def add(self, step: Step) -> None:
        """Take in the next execution that made or changed it."""
        here, uid = len(self.uids), step.execution.uid
        sure = self._name not in step.unsure
        replaced = self.replaced_by(step) if sure else ()
        for position in replaced:
            self._until[position] = here
        self._positions[uid] = here
        self._replaced.append(replaced)
        self._until.append(_STANDS if sure else -1)
        slots = step.slots.get(self._name, frozenset())
        self._slots.append(slots)
        if sure:
            self._by_source.setdefault(step.execution.source, []).append(here)
            if slots:
                self._by_slot.setdefault(next(iter(slots)), []).append(here)
        self.uids.append(uid)

    def replaced_by(self, step: Step) -> tuple[int, ...]:
        """Positions of those in effect whose doing an execution does again, and no more than that."""
        if step.builds_on_itself(self._name):
            return ()
        same = self._by_source.get(step.execution.source, [])
        found = dict.fromkeys(self._standing(same))
        slots = step.slots.get(self._name, frozenset())
        for slot in slots:
            assigned = self._by_slot.get(slot, [])
            found.update((one, None) for one in self._standing(assigned) if self._slots[one] <= slots)
        return tuple(found)

    def position(self, uid: str) -> int | None:
        """Where an execution stands among them."""
        return self._positions.get(uid)

    def in_effect(self, position: int, count: int) -> bool:
        """Whether, when there were `count` of them, one had changed it and none after it had done the same."""
        return position < count <= self._until[position]

    def replaced_between(self, start: int, stop: int) -> Iterator[int]:
        """Positions of those that were done again by the ones from `start` up to `stop`."""
        for position in range(start, stop):
            yield from self._replaced[position]

    def turns(self, start: int, stop: int) -> Iterator[tuple[str, bool]]:
        """Executions that came into effect (True) or went out of it from `start` up to `stop`, in their order."""
        for position in range(start, stop):
            for replaced in self._replaced[position]:
                yield self.uids[replaced], False
            if self._until[position] >= 0:
                yield self.uids[position], True

    def _standing(self, positions: list[int]) -> list[int]:
        """Those in effect, after the others were dropped: each is dropped once."""
        positions[:] = [position for position in positions if self._until[position] == _STANDS]
        return positions


@dataclass(frozen=True, slots=True)
class SourceLink:
    """Where an execution has a name from; to iterate over it gives the executions in effect.

    Attributes
    ----------
    sources : Sources
        Those who made what the name holds; shared with other readers.
    count : int
        How many of them there were.
    replaced : frozenset of int
        Positions of those whose doing the reader itself does again.
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
        """Those in effect that are not so for a later reader of the same sources; all of them without one."""
        if later is None:
            yield from self
            return
        gone = self.sources.replaced_between(self.count, later.count)
        for position in dict.fromkeys((*gone, *later.replaced)):
            if self.has(position):
                yield self.sources.uids[position]
