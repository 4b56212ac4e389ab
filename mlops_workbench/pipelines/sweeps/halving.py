"""Successive halving: many trials with a small budget, and the best of them again with a larger one; pure.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

from __future__ import annotations

import math

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.pipelines.sweeps.samplers import MOST_GRID, Proposal, RandomSampler
from mlops_workbench.pipelines.sweeps.space import Range, Space

_SLACK = 1e-9
_MOST_RUNGS = 40


class HalvingSampler:
    """Runs the trials of a rung, then the best of them with `eta` times the budget, up to the largest one.

    A trial without a value is not promoted.

    Parameters
    ----------
    space : Space
        The space without the budget.
    name : str
        Parameter that is the budget.
    budget : Range
        Its smallest and its largest value.
    eta : int
        One of so many trials is promoted.
    runs : int or None
        Most trials of all rungs together; by default as many as leave one with the largest budget.
    seed : int
        For the same values again.
    maximise : bool
        Whether larger values are better.

    Raises
    ------
    InvalidInput
        `runs` is less than the number of rungs, or `eta` less than 2.
    """

    def __init__(
        self, space: Space, name: str, budget: Range, eta: int, runs: int | None, seed: int, *, maximise: bool
    ) -> None:
        if eta < 2:
            raise InvalidInput(f"eta is {eta}", hint="it says that one of so many trials is promoted: 2 or more")
        self._name = name
        self._maximise = maximise
        self._eta = eta
        self._budgets = budgets(budget, eta)
        first = eta ** (len(self._budgets) - 1)
        if runs is not None:
            if runs < len(self._budgets):
                raise InvalidInput(
                    f"{runs} runs are less than the {len(self._budgets)} budgets: {_listed(self._budgets)}",
                    hint=f"give --runs {sum(self._sizes(first))}, or a smaller range of the budget",
                )
            first = max(count for count in range(1, runs + 1) if sum(self._sizes(count)) <= runs)
        if first > MOST_GRID:
            raise InvalidInput(
                f"the budgets from {budget.low:g} to {budget.high:g} ask for {first:,} trials with the smallest one",
                hint="give a smaller range, or the number of trials: --runs 100",
            )
        source = RandomSampler(space, first, seed)
        configurations = [source.ask() for _ in range(source.total or 0)]
        self._rung = 0
        self._waiting = [found.values for found in configurations if found is not None]
        self._planned = sum(self._sizes(len(self._waiting)))
        self._started: list[dict[str, object]] = []  # of all rungs
        self._values: dict[int, float | None] = {}
        self._first_of_rung = 0

    @property
    def total(self) -> int:
        """Number of trials if enough of them have a value."""
        return self._planned

    def ask(self) -> Proposal | None:
        """Values of the next trial; None if there are no more, or it waits for the end of a rung."""
        self._promote()
        if not self._waiting:
            return None
        values = self._waiting.pop(0)
        self._started.append(values)
        return Proposal({**values, self._name: self._budgets[self._rung]}, self._rung)

    def replay(self, values: dict[str, object]) -> None:
        """Note that the next trial was started: its values are those that `ask` returns."""
        self.ask()

    def tell(self, number: int, value: float | None) -> None:
        """Note the result of a trial."""
        self._values[number] = value

    def _sizes(self, first: int) -> list[int]:
        return [max(1, first // self._eta**rung) for rung in range(len(self._budgets))]

    def _promote(self) -> None:
        """Begin the next rung when the last trial of the present one has ended."""
        rung = range(self._first_of_rung, len(self._started))
        if self._waiting or self._rung >= len(self._budgets) - 1 or any(number not in self._values for number in rung):
            return
        sign = -1 if self._maximise else 1
        ranked = sorted(
            (sign * value, number) for number in rung for value in [self._values[number]] if value is not None
        )
        if not ranked:
            self._rung = len(self._budgets) - 1
            return
        kept = ranked[: max(1, len(rung) // self._eta)]
        self._rung += 1
        self._first_of_rung = len(self._started)
        self._waiting = [self._started[number] for _, number in kept]


def budgets(budget: Range, eta: int) -> list[float]:
    """Budgets of the rungs, of which the last is the largest one; raises InvalidInput if they are too many."""
    rungs = int((math.log(budget.high) - math.log(budget.low)) / math.log(eta) + _SLACK) + 1
    if rungs > _MOST_RUNGS:
        raise InvalidInput(
            f"from {budget.low:g} to {budget.high:g} are {rungs} budgets",
            hint="give a smaller range, or a larger --eta",
        )
    found = [budget.high / eta ** (rungs - 1 - rung) for rung in range(rungs)]
    return list(dict.fromkeys(max(int(budget.low), round(value)) if budget.whole else value for value in found))


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
