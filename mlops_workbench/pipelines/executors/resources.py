"""What stages take of a machine, and which of them start next; pure.

Stages start in the order in which they became ready. While the first one waits for resources, a later one may pass it
only if the first would still fit beside all that have passed it. So the first waits only for stages that were running
when it came to its turn, and no stage waits for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlops_workbench.core.shown.formats import number
from mlops_workbench.pipelines.definition.nouns import ResourceSpec

#: For sums of fractions such as 0.1 + 0.2.
_SLACK = 1e-9


@dataclass(frozen=True)
class Capacity:
    """What all stages may take together.

    Attributes
    ----------
    cpu : float
        Cores.
    memory : int
        Bytes.
    gpus : tuple of str
        Names of the GPUs, as in ``CUDA_VISIBLE_DEVICES``.
    """

    cpu: float
    memory: int
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Share:
    """What a stage has got: cores, bytes, and parts of GPUs by name."""

    cpu: float
    memory: int
    gpus: Mapping[str, float] = field(default_factory=dict)


def excess(need: ResourceSpec, capacity: Capacity) -> str:
    """What a stage asks for beyond the capacity, such as ``8 cores of 2``; empty if it can run."""
    found = []
    if need.cpu > capacity.cpu + _SLACK:
        found.append(f"{number(need.cpu)} core{'' if need.cpu == 1 else 's'} of {number(capacity.cpu)}")
    if need.memory > capacity.memory:
        found.append(f"{number(need.memory / 1e9)} GB of memory of {number(capacity.memory / 1e9)} GB")
    if math.ceil(need.gpu - _SLACK) > len(capacity.gpus):
        found.append(f"{number(need.gpu)} GPU{'' if need.gpu == 1 else 's'} of {len(capacity.gpus)}")
    return ", ".join(found)


class Schedule:
    """Gives the resources of a capacity to stages.

    Parameters
    ----------
    capacity : Capacity
        What they may take together.
    slots : int, default=0
        Most stages at a time; 0 for no limit.
    """

    def __init__(self, capacity: Capacity, slots: int = 0) -> None:
        self._capacity = capacity
        self._slots = slots
        self._shares: dict[str, Share] = {}
        self._waits = ""
        self._passed: set[str] = set()

    def start(self, ready: Sequence[tuple[str, ResourceSpec]]) -> dict[str, Share]:
        """Take resources for those that start now.

        Parameters
        ----------
        ready : sequence of (name, ResourceSpec)
            Stages that are ready, the oldest first; each fits into the whole capacity, see `excess`.

        Returns
        -------
        dict
            The share of each that starts, by name.
        """
        started: dict[str, Share] = {}
        first: ResourceSpec | None = None
        for name, need in ready:
            share = self._fitting(need, self._shares.values())
            if first is None and share is None:
                first = need
                if self._waits != name:
                    self._waits, self._passed = name, set()
            elif share is not None and (first is None or self._may_pass(first, share)):
                self._shares[name] = started[name] = share
                if first is not None:
                    self._passed.add(name)
        if first is None:
            self._waits, self._passed = "", set()
        return started

    def has_room(self, need: ResourceSpec) -> bool:
        """Whether a stage could start now if no other one waited."""
        return self._fitting(need, self._shares.values()) is not None

    def end(self, name: str) -> None:
        """Give back the share of a stage."""
        del self._shares[name]
        self._passed.discard(name)

    def _may_pass(self, first: ResourceSpec, share: Share) -> bool:
        return self._fitting(first, [share, *(self._shares[name] for name in self._passed)]) is not None

    def _fitting(self, need: ResourceSpec, taken: Iterable[Share]) -> Share | None:
        shares = list(taken)
        capacity = self._capacity
        if self._slots and len(shares) >= self._slots:
            return None
        if need.cpu > capacity.cpu - sum(share.cpu for share in shares) + _SLACK:
            return None
        if need.memory > capacity.memory - sum(share.memory for share in shares):
            return None
        free = {gpu: 1.0 - sum(share.gpus.get(gpu, 0.0) for share in shares) for gpu in capacity.gpus}
        gpus = _gpus(need.gpu, free)
        return None if gpus is None else Share(need.cpu, need.memory, gpus)


def _gpus(need: float, free: Mapping[str, float]) -> dict[str, float] | None:
    """Whole GPUs, or a part of the fullest one on which it fits; None if there is not enough."""
    if need <= 0:
        return {}
    if need < 1:
        fitting = [gpu for gpu, part in free.items() if part >= need - _SLACK]
        return {min(fitting, key=lambda gpu: free[gpu]): need} if fitting else None
    count = math.ceil(need - _SLACK)
    whole = [gpu for gpu, part in free.items() if part >= 1 - _SLACK]
    return dict.fromkeys(whole[:count], 1.0) if len(whole) >= count else None
