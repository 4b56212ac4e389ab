"""The values that a sweep may give to parameters: lists, ranges and distributions; pure.

A dimension with a finite number of values numbers them; every dimension maps a share between 0 and 1 to a value, so
that each way of sampling needs only numbers between 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from statistics import NormalDist

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.shown import shown

#: Of a quotient of floats that should be a whole number.
_SLACK = 1e-9


@dataclass(frozen=True)
class Choices:
    """Values that are listed."""

    values: tuple[object, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    def point(self, index: int) -> object:
        """Value number `index`, from 0."""
        return self.values[index]

    def at(self, share: float) -> object:
        """The value at a share between 0 and 1."""
        return self.values[min(int(share * self.size), self.size - 1)]

    def __str__(self) -> str:
        return ", ".join(str(shown(value)) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes
    ----------
    whole : bool
        Whether they are integers.
    step : int, float or None
        Distance of two values; None for every number, or for every integer.
    log : bool
        Whether equal quotients are equally likely, instead of equal differences.
    count : int
        Number of values, equally spaced; 0 for no such number. Without it, the values of a grid on a logarithmic scale
        are `low` times powers of ten.
    drawn : bool
        Whether it is a distribution, which is sampled unless a grid is asked for.
    """

    low: float
    high: float
    whole: bool = False
    step: float | None = None
    log: bool = False
    count: int = 0
    drawn: bool = False

    @property
    def size(self) -> int | None:
        """Number of values; None for a continuous range."""
        if self.count:
            return len(self._spaced) if self.whole else self.count
        if self.log:
            return None
        if self.step is not None:
            return 1 + int((_exact(self.high) - _exact(self.low)) / _exact(self.step))
        return int(self.high) - int(self.low) + 1 if self.whole else None

    def point(self, index: int) -> float:
        """Value number `index`, from 0, of a range with a size."""
        if self.count:
            return self._spaced[index]
        step = _exact(self.step if self.step is not None else 1)
        value = _exact(self.low) + index * step
        return int(value) if self.whole else float(value)

    def at(self, share: float) -> float:
        """The value at a share between 0 and 1."""
        size = self.size
        if size is not None:
            return self.point(min(int(share * size), size - 1))
        if self.whole:  # on a logarithmic scale: each integer has the numbers that are rounded to it
            value = _between(self.low - 0.5, self.high + 0.5, share, log=True)
            return min(max(round(value), int(self.low)), int(self.high))
        return min(max(_between(self.low, self.high, share, log=self.log), self.low), self.high)

    def decades(self) -> Choices:
        """The values of a grid over a logarithmic scale without a count."""
        count = int(math.log10(self.high / self.low) + _SLACK) + 1
        values = [_exact(self.low) * 10**index for index in range(count)]
        return Choices(tuple(int(value) if self.whole else float(value) for value in values))

    @cached_property
    def _spaced(self) -> list[float]:
        shares = [index / (self.count - 1) if self.count > 1 else 0.0 for index in range(self.count)]
        values = [_between(self.low, self.high, share, log=self.log) for share in shares]
        if not self.whole:
            return [self.low, *values[1:-1], self.high] if self.count > 1 else [self.low]
        return list(dict.fromkeys(round(value) for value in values))

    def __str__(self) -> str:
        ends = (self.low, self.high, *([self.step] if self.step is not None else []))
        text = "..".join(repr(end).removesuffix(".0") for end in ends)
        count = f", {self.count}" if self.count else ""
        return f"log({text}{count})" if self.log else f"linspace({text}{count})" if self.count else text


@dataclass(frozen=True)
class Normal:
    """A normal distribution, cut off at the bounds of its parameter."""

    mean: float
    deviation: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def size(self) -> None:
        """It is continuous."""
        return None

    def at(self, share: float) -> float:
        """The value at a share between 0 and 1."""
        normal = NormalDist(self.mean, self.deviation)
        least, most = normal.cdf(self.low), normal.cdf(self.high)
        inner = min(max(least + share * (most - least), 1e-15), 1 - 1e-15)
        return min(max(normal.inv_cdf(inner), self.low), self.high)

    def share_of(self, value: float) -> float:
        """The share at which `at` has a value."""
        normal = NormalDist(self.mean, self.deviation)
        least, most = normal.cdf(self.low), normal.cdf(self.high)
        return min(max((normal.cdf(value) - least) / (most - least), 0.0), 1.0)

    def __str__(self) -> str:
        return f"normal({shown(self.mean)}, {shown(self.deviation)})"


Dimension = Choices | Range | Normal


@dataclass(frozen=True)
class Space:
    """What is varied, and the values that all trials have in common.

    Attributes
    ----------
    dimensions : dict
        By parameter.
    fixed : dict
        Values by parameter.
    """

    dimensions: dict[str, Dimension]
    fixed: dict[str, object] = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """Number of combinations; None if it is not finite."""
        sizes = [dimension.size for dimension in self.dimensions.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def point(self, index: int) -> dict[str, object]:
        """Combination number `index`, from 0: the last parameter changes fastest, as in nested loops."""
        found: dict[str, object] = {}
        for name, dimension in reversed(self.dimensions.items()):
            assert not isinstance(dimension, Normal), "a space with a size has no distribution"
            assert dimension.size is not None, "a space with a size has no continuous dimension"
            index, digit = divmod(index, dimension.size)
            found[name] = dimension.point(digit)
        return {name: found[name] for name in self.dimensions}

    def at(self, shares: dict[str, float]) -> dict[str, object]:
        """The combination at shares between 0 and 1."""
        return {name: dimension.at(shares[name]) for name, dimension in self.dimensions.items()}

    def grid(self) -> Space:
        """The space of a grid; raises InvalidInput if a dimension is continuous."""
        found: dict[str, Dimension] = {}
        for name, dimension in self.dimensions.items():
            chosen = dimension.decades() if isinstance(dimension, Range) and dimension.log and not dimension.count \
                else dimension  # fmt: skip
            if chosen.size is None:
                raise InvalidInput(
                    f"{name}: a grid needs a finite number of values, and '{dimension}' has none",
                    hint=_finite(name, dimension),
                )
            found[name] = chosen
        return Space(found, self.fixed)


def _finite(name: str, dimension: Dimension) -> str:
    if isinstance(dimension, Range):
        step = float(f"{(dimension.high - dimension.low) / 4:.3g}")
        return f"give a step: -p {name}={dimension}..{step:g}; or choose another method: --method random --runs 20"
    return "choose another method, such as --method random --runs 20"


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low * (1 - share) + high * share  # the difference may be beyond the range of a float


def _exact(value: float) -> Fraction:
    """The number as it is written in decimals, so that 3 times 0.1 is 0.3."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
