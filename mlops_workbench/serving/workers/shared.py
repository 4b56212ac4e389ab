"""Counts of all workers in memory that they share, so that each can report those of all."""

from __future__ import annotations

import mmap
import struct

import msgspec

from mlops_workbench.serving.metrics import Counts, merged_counts

_SLOT = 1 << 17
#: Number of the write (odd while it is under way), and bytes.
_HEAD = struct.Struct("<QI")
_TRIES = 100


class SharedCounts:
    """One slot for each worker; the first is for those that have ended.

    Parameters
    ----------
    slots : int
        Workers that may run at the same time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        # Anonymous and shared: forked processes see it, and it ends with them.
        self._memory = mmap.mmap(-1, _SLOT * (slots + 1))
        self._free = list(range(slots, 0, -1))
        self._ended = Counts()

    @property
    def is_full(self) -> bool:
        """Whether every slot is taken."""
        return not self._free

    def take(self) -> int:
        """A free slot.

        Raises
        ------
        IndexError
            There is none.
        """
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        """Keep the counts of a worker that has ended, and free its slot."""
        found = self._read(slot)
        if found is not None:
            self._ended = merged_counts([self._ended, found.of_the_past()])
            self.write(0, self._ended)
        self._memory[slot * _SLOT : slot * _SLOT + _HEAD.size] = bytes(_HEAD.size)
        self._free.append(slot)

    def write(self, slot: int, counts: Counts) -> None:
        """Publish the counts of a worker."""
        content = msgspec.msgpack.encode(counts)
        if len(content) > _SLOT - _HEAD.size:
            return
        start = slot * _SLOT
        number = _HEAD.unpack_from(self._memory, start)[0] | 1
        _HEAD.pack_into(self._memory, start, number, 0)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(content)] = content
        _HEAD.pack_into(self._memory, start, number + 1, len(content))

    def all(self) -> list[Counts]:
        """Counts of all workers, also of those that have ended."""
        return self.others(-1)

    def others(self, slot: int) -> list[Counts]:
        """Counts of all but one slot."""
        found = (self._read(other) for other in range(self.slots + 1) if other != slot)
        return [counts for counts in found if counts is not None]

    def _read(self, slot: int) -> Counts | None:
        start = slot * _SLOT
        for _ in range(_TRIES):
            number, size = _HEAD.unpack_from(self._memory, start)
            if number % 2 == 0 and size == 0:
                return None
            content = bytes(self._memory[start + _HEAD.size : start + _HEAD.size + size])
            if number % 2 == 0 and _HEAD.unpack_from(self._memory, start)[0] == number:
                try:
                    return msgspec.msgpack.decode(content, type=Counts)
                except msgspec.DecodeError:
                    return None
        # Its writer has ended in the middle.
        return None
