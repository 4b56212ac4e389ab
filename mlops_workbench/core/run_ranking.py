"""A run beside the runs before it: what got better, what was changed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlops_workbench.core.metrics import Direction, metric_direction
from mlops_workbench.core.runs import Run


@dataclass(frozen=True)
class Past:
    """What is known of the other runs of an experiment when one ends.

    Attributes
    ----------
    previous : Run or None
        The finished run that began last before it.
    namesake : Run or None
        The same among runs of its name.
    best : dict
        Best value of each of its metrics among the other finished runs, where the name of the metric says what
        is best.
    """

    previous: Run | None = None
    namesake: Run | None = None
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricChange:
    """A metric and the same one of other runs.

    Attributes
    ----------
    name : str
        Name of the metric.
    value : float or None
        Its value; None for NaN and infinities.
    direction : {"lower", "higher", ""}
        What is better.
    previous, best : float or None
        Of the run before, and the best of all others.
    """

    name: str
    value: float | None
    direction: Direction = ""
    previous: float | None = None
    best: float | None = None

    @property
    def difference(self) -> float | None:
        """Change since the run before."""
        return None if self.value is None or self.previous is None else self.value - self.previous

    @property
    def improved(self) -> bool | None:
        """Whether it is better than in the run before; None when that cannot be said, or nothing changed."""
        if not self.difference or not self.direction:
            return None
        return (self.difference > 0) == (self.direction == "higher")

    @property
    def leads(self) -> bool:
        """Whether no other run is better."""
        if self.value is None or self.best is None or not self.direction:
            return False
        return self.value >= self.best if self.direction == "higher" else self.value <= self.best


@dataclass(frozen=True)
class ParamChange:
    """A parameter that another run of the same kind had differently; `before` is None where it had none."""

    name: str
    value: str
    before: str | None


@dataclass(frozen=True)
class RunRanking:
    """Where a run ranks among the others of its experiment.

    Attributes
    ----------
    metrics : list of MetricChange
        Its metrics, in the order they were logged.
    params : list of ParamChange
        Parameters that differ from those of run `than`.
    previous : str
        Name of the run before it, empty when there is none.
    than : str
        Name of the run that the parameters are compared with.
    """

    metrics: list[MetricChange] = field(default_factory=list)
    params: list[ParamChange] = field(default_factory=list)
    previous: str = ""
    than: str = ""


def ranking_of(run: Run, past: Past) -> RunRanking:
    """A run seen against its past."""
    than = past.namesake or past.previous
    return RunRanking(
        metric_changes(run, past),
        param_changes(run, past),
        past.previous.name if past.previous is not None else "",
        than.name if than is not None else "",
    )


def past_of(run: Run, others: Iterable[Run]) -> Past:
    """What other runs say about one; those of other experiments, parents, or that did not finish say nothing."""
    known = [other for other in others if _comparable(run, other)]
    before = [other for other in known if (other.start_ms, other.uid) < (run.start_ms, run.uid)]
    before.sort(key=lambda other: (other.start_ms, other.uid))
    best: dict[str, float] = {}
    for name in run.metrics:
        values = [value for other in known if _finite(value := other.metrics.get(name)) is not None]
        if (chosen := _best(name, values)) is not None:
            best[name] = chosen
    namesakes = [other for other in before if other.name == run.name]
    return Past(before[-1] if before else None, namesakes[-1] if namesakes else None, best)


def merged(first: Past, second: Past) -> Past:
    """Two views of the same past as one."""
    names = first.best.keys() | second.best.keys()
    best = {name: _best(name, [first.best.get(name), second.best.get(name)]) for name in names}
    return Past(
        _later(first.previous, second.previous),
        _later(first.namesake, second.namesake),
        {name: value for name, value in best.items() if value is not None},
    )


def metric_changes(run: Run, past: Past) -> list[MetricChange]:
    """The metrics of a run beside those of its past, in the order they were logged."""
    before = past.previous.metrics if past.previous is not None else {}
    return [
        MetricChange(
            name, _finite(value), metric_direction(name), _finite(before.get(name)), past.best.get(name)
        )
        for name, value in run.metrics.items()
    ]  # fmt: skip


def param_changes(run: Run, past: Past) -> list[ParamChange]:
    """Parameters that differ from the last run of the same name, or else from the run before; new ones too."""
    other = past.namesake or past.previous
    if other is None:
        return []
    return [
        ParamChange(name, value, other.params.get(name))
        for name, value in run.params.items()
        if other.params.get(name) != value and (name in other.params or other is past.namesake)
    ]


def _comparable(run: Run, other: Run) -> bool:
    return (
        other.uid != run.uid
        and other.status == "FINISHED"
        and (other.experiment, other.kind, other.parent_uid) == (run.experiment, run.kind, run.parent_uid)
    )


def _best(name: str, values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    direction = metric_direction(name)
    if not known or not direction:
        return None
    return max(known) if direction == "higher" else min(known)


def _later(first: Run | None, second: Run | None) -> Run | None:
    if first is None or second is None:
        return first or second
    return first if (first.start_ms, first.uid) >= (second.start_ms, second.uid) else second


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
