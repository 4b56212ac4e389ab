"""Which values the next trial gets: a grid, random values, a Latin hypercube; pure and reproducible.

A sampler is told the result of each trial and may have to wait for one. After a kill its state is built again from the
log of the sweep: by `replay` for each trial that was started, and `tell` for each that has ended, in that order.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.pipelines.sweeps.space import Space

#: Most trials of a grid that is run whole.
MOST_GRID = 10_000


@dataclass(frozen=True)
class Proposal:
    """The values of a trial; `rung` says how often it was promoted."""

    values: dict[str, object]
    rung: int = 0


class Sampler(Protocol):
    """Chooses the values of trials, which are numbered from 0."""

    @property
    def total(self) -> int | None:
        """Number of trials, None if it has no end of its own."""
        ...

    def ask(self) -> Proposal | None:
        """Values of the next trial; None if there are no more, or it waits for a result."""
        ...

    def replay(self, values: dict[str, object]) -> None:
        """Note that the next trial was started with these values."""
        ...

    def tell(self, number: int, value: float | None) -> None:
        """Note the result of a trial; None if it has none."""
        ...


class _Listed(ABC):
    """A sampler whose proposals do not depend on results."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._next = 0

    @property
    def total(self) -> int | None:
        """Number of trials, None if it has no end of its own."""
        return self._total

    def ask(self) -> Proposal | None:
        """Values of the next trial; None if there is none."""
        if self._total is not None and self._next >= self._total:
            return None
        self._next += 1
        return Proposal(self._values(self._next - 1))

    def replay(self, values: dict[str, object]) -> None:
        """Note that the next trial was started."""
        self._next += 1

    def tell(self, number: int, value: float | None) -> None:  # noqa: B027 - results change nothing here
        """Ignore a result."""

    @abstractmethod
    def _values(self, number: int) -> dict[str, object]:
        """Values of a trial, counted from 0."""


class GridSampler(_Listed):
    """All combinations; the last parameter changes fastest, as in nested loops.

    Parameters
    ----------
    space : Space
        The space.
    runs : int, optional
        Most trials.

    Raises
    ------
    InvalidInput
        A parameter has no finite number of values, or there are too many combinations.
    """

    def __init__(self, space: Space, runs: int | None = None) -> None:
        self._space = space.grid()
        size = self._space.size
        assert size is not None, "a grid is finite"
        if runs is None and size > MOST_GRID:
            raise InvalidInput(
                f"the grid has {size:,} combinations",
                hint="give the number of trials: --runs 100; or sample it: --method random --runs 100",
            )
        super().__init__(size if runs is None else min(size, runs))

    def _values(self, number: int) -> dict[str, object]:
        return self._space.point(number)


class RandomSampler(_Listed):
    """Independent random values; combinations of a finite number are drawn without repetition.

    Parameters
    ----------
    space : Space
        The space.
    runs : int or None
        Number of trials; None for no end.
    seed : int
        For the same values again.
    """

    def __init__(self, space: Space, runs: int | None, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._order: list[int] | None = None
        size = space.size
        if size is not None and (runs is not None or size <= MOST_GRID):
            runs = size if runs is None else min(size, runs)
            self._order = random.Random(seed).sample(range(size), runs)
        super().__init__(runs)

    def _values(self, number: int) -> dict[str, object]:
        if self._order is not None:
            return self._space.point(self._order[number])
        draw = random.Random(f"{self._seed}/{number}")
        return self._space.at({name: draw.random() for name in self._space.dimensions})


class LatinHypercube(_Listed):
    """Random values of which each parameter has one in each of `runs` equally likely parts of its values.

    McKay, Beckman and Conover, "A comparison of three methods for selecting values of input variables in the
    analysis of output from a computer code", Technometrics 21 (1979).

    Parameters
    ----------
    space : Space
        The space.
    runs : int
        Number of trials.
    seed : int
        For the same values again.
    """

    def __init__(self, space: Space, runs: int, seed: int) -> None:
        super().__init__(runs)
        self._space = space
        self._shares: dict[str, list[float]] = {}
        for name in space.dimensions:
            draw = random.Random(f"{seed}/{name}")
            self._shares[name] = [(part + draw.random()) / runs for part in draw.sample(range(runs), runs)]

    def _values(self, number: int) -> dict[str, object]:
        return self._space.at({name: shares[number] for name, shares in self._shares.items()})
