"""Comparison of a run with earlier runs of its experiment: metrics that improved, parameters that changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlops_workbench.core.metrics import Direction, metric_direction
from mlops_workbench.core.runs import Run
from mlops_workbench.core.wire.json_numbers import finite_number


@dataclass(frozen=True)
class EarlierRuns:
    """The runs that a run is compared with: finished ones of the same experiment, kind and parent.

    Attributes
    ----------
    previous : Run or None
        The last one that started before the run.
    same_name : Run or None
        The last one with the same name that started before the run.
    best : dict
        Best value of each metric of the run among all of them, for metrics whose name gives a direction.
    """

    previous: Run | None = None
    same_name: Run | None = None
    best: dict[str, float] = field(default_factory=dict)

    def merge(self, other: EarlierRuns) -> EarlierRuns:
        """Combine the earlier runs of the same run from two sources."""
        names = self.best.keys() | other.best.keys()
        return EarlierRuns(
            _later(self.previous, other.previous),
            _later(self.same_name, other.same_name),
            _best({name: [self.best.get(name), other.best.get(name)] for name in names}),
        )


@dataclass(frozen=True)
class MetricChange:
    """A metric of a run, with its values in earlier runs.

    Attributes
    ----------
    name : str
        Name of the metric.
    value : float or None
        Value in the run; None for NaN and infinities.
    direction : {"lower", "higher", ""}
        Which values are better; empty when unknown.
    previous, best : float or None
        Value in the previous run, and best value of all earlier runs.
    """

    name: str
    value: float | None
    direction: Direction = ""
    previous: float | None = None
    best: float | None = None

    @property
    def difference(self) -> float | None:
        """Change since the previous run."""
        return None if self.value is None or self.previous is None else self.value - self.previous

    @property
    def improved(self) -> bool | None:
        """Whether the value is better than in the previous run; None when it is equal or cannot be compared."""
        if not self.difference or not self.direction:
            return None
        return (self.difference > 0) == (self.direction == "higher")

    @property
    def is_best(self) -> bool:
        """Whether no earlier run has a better value."""
        if self.value is None or self.best is None or not self.direction:
            return False
        return self.value >= self.best if self.direction == "higher" else self.value <= self.best


@dataclass(frozen=True)
class ParamChange:
    """A parameter with another value than in an earlier run; `before` is None when that run did not have it."""

    name: str
    value: str
    before: str | None


@dataclass(frozen=True)
class RunRanking:
    """Comparison of a run with earlier runs.

    Attributes
    ----------
    metrics : list of MetricChange
        Metrics of the run, in the order they were logged.
    params : list of ParamChange
        Parameters that differ from those of the last run of the same name, or else of the previous run.
    previous : str
        Name of the previous run, empty for none.
    """

    metrics: list[MetricChange] = field(default_factory=list)
    params: list[ParamChange] = field(default_factory=list)
    previous: str = ""


def rank_run(run: Run, earlier: EarlierRuns) -> RunRanking:
    """Compare a run with earlier runs."""
    before = earlier.previous.metrics if earlier.previous is not None else {}
    metrics = [
        MetricChange(
            name, finite_number(value), metric_direction(name), finite_number(before.get(name)), earlier.best.get(name)
        )
        for name, value in run.metrics.items()
    ]  # fmt: skip
    return RunRanking(
        metrics, _param_changes(run, earlier), earlier.previous.name if earlier.previous is not None else ""
    )


def earlier_runs(run: Run, others: Iterable[Run]) -> EarlierRuns:
    """Select the runs to compare `run` with from `others`."""
    known = sorted((other for other in others if _comparable(run, other)), key=_started)
    before = [other for other in known if _started(other) < _started(run)]
    same_name = [other for other in before if other.name == run.name]
    best = _best({name: [finite_number(other.metrics.get(name)) for other in known] for name in run.metrics})
    return EarlierRuns(before[-1] if before else None, same_name[-1] if same_name else None, best)


def _param_changes(run: Run, earlier: EarlierRuns) -> list[ParamChange]:
    """Return the changed parameters; new ones only in comparison with a run of the same name."""
    other = earlier.same_name or earlier.previous
    if other is None:
        return []
    return [
        ParamChange(name, value, other.params.get(name))
        for name, value in run.params.items()
        if other.params.get(name) != value and (name in other.params or other is earlier.same_name)
    ]


def _comparable(run: Run, other: Run) -> bool:
    return (
        other.uid != run.uid
        and other.status == "FINISHED"
        and (other.experiment, other.kind, other.parent_uid) == (run.experiment, run.kind, run.parent_uid)
    )


def _best(values: dict[str, list[float | None]]) -> dict[str, float]:
    best = {}
    for name, found in values.items():
        known = [value for value in found if value is not None]
        if known and (direction := metric_direction(name)):
            best[name] = max(known) if direction == "higher" else min(known)
    return best


def _later(first: Run | None, second: Run | None) -> Run | None:
    if first is None or second is None:
        return first or second
    return max(first, second, key=_started)


def _started(run: Run) -> tuple[int, str]:
    return run.start_ms, run.uid
