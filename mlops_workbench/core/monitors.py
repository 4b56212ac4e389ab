"""Monitors: windows of live predictions against the training data, and alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops_workbench.core.errors import InvalidInput, did_you_mean

#: Error metrics of numbers, and of labels; of these, the ones that are better when larger.
NUMBER_METRICS = ("mae", "rmse", "r2")
LABEL_METRICS = ("accuracy", "f1")
LARGER_IS_BETTER = frozenset({"r2", "accuracy", "f1"})


def check_metric(metric: str) -> None:
    """Raise :class:`InvalidInput` for a metric that is not known."""
    known = NUMBER_METRICS + LABEL_METRICS
    if metric not in known:
        raise InvalidInput(f"'{metric}' is no metric of a monitor", hint=did_you_mean(metric, known))


@dataclass(frozen=True)
class MonitorSpec:
    """What is watched for an endpoint.

    Attributes
    ----------
    endpoint : str
        The watched endpoint; there is one monitor for each.
    window : str
        ``month``, ``day``, ``hour`` of the event time, or a number of rows as text.
    metric : str
        Error metric once truth is in: one of `NUMBER_METRICS` or `LABEL_METRICS`.
    max_degradation : float
        Relative loss of quality against the reference that counts (0.1: ten percent).
    pipeline : str
        Pipeline that an alert starts, empty for none.
    params : dict
        Parameters for that pipeline; ``{start}`` and ``{end}`` in a text stand for the first day of the
        alerting windows and the day after the last (ISO dates).
    enabled : bool
        Whether it is evaluated on its own.
    """

    endpoint: str
    window: str = "day"
    metric: str = "mae"
    max_degradation: float = 0.1
    pipeline: str = ""
    params: dict[str, str | int | float | bool] = field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True)
class FeatureDrift:
    """One column of a window against the reference.

    Attributes
    ----------
    name : str
        Column, or ``prediction``.
    kind : str
        ``numeric`` or ``categorical``.
    effect : float
        Wasserstein distance in reference standard deviations, or total variation distance.
    floor : float
        Smallest effect that counts.
    p_value : float
        Permutation p-value at this window's size, before the correction for many columns.
    missing_change : float
        Change of the share of missing values, between -1 and 1.
    drifted : bool
        Significant after Benjamini-Hochberg and at least as large as the floor.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    effect: float
    floor: float
    p_value: float
    missing_change: float
    drifted: bool


@dataclass(frozen=True)
class Window:
    """A window of live predictions.

    `quality` is the error metric on the rows whose truth is known (None without any), `reference_quality`
    the same on the reference; `coverage` is the share of rows with truth. `features` holds the prediction
    first, then the inputs. `degraded` and `drifted` say what this window alone shows; an alert needs more
    than one window. `versions` begins with the one that most rows are of: it is the one that was evaluated.
    `fingerprint` is a digest of what the window was computed from: while it stays, so does the window.
    """

    endpoint: str
    label: str
    start_ms: int
    end_ms: int
    rows: int
    versions: list[int]
    quality: float | None
    reference_quality: float | None
    metric: str
    coverage: float
    drifted: bool
    degraded: bool
    features: list[FeatureDrift] = field(default_factory=list)
    note: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Alert:
    """An alert: raised by windows that agree, followed by what it started."""

    id: str
    endpoint: str
    kind: Literal["drift", "quality", "drift+quality"]
    window: str
    message: str
    at_ms: int
    version: int
    pipeline_run: str = ""
    resolved_ms: int = 0


@dataclass(frozen=True)
class MonitorReport:
    """State of a monitor: its spec, evaluated windows in order of time, open and past alerts."""

    spec: MonitorSpec
    windows: list[Window] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    evaluated_ms: int = 0
