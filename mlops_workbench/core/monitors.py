"""Monitors: live predictions in windows, compared with the training data, and alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.core.wire.patterns import NAME, WINDOW, Documented

#: Quality metrics of regression and of classification, and those of which higher values are better.
NUMBER_METRICS = ("mae", "rmse", "r2")
LABEL_METRICS = ("accuracy", "f1")
LARGER_IS_BETTER = frozenset({"r2", "accuracy", "f1"})


def check_metric(metric: str) -> None:
    """Raise :class:`InvalidInput` for an unknown metric."""
    known = NUMBER_METRICS + LABEL_METRICS
    if metric not in known:
        raise InvalidInput(f"'{metric}' is not a metric of a monitor", hint=did_you_mean(metric, known))


@dataclass(frozen=True)
class MonitorSpec:
    """Settings of the monitor of an endpoint.

    Attributes
    ----------
    endpoint : str
        The monitored endpoint; an endpoint has at most one monitor.
    window : str
        Size of a window: ``month``, ``day`` or ``hour`` of the event time, or a number of rows as text.
    metric : str
        Quality metric of rows with a known outcome: one of `NUMBER_METRICS` or `LABEL_METRICS`.
    max_degradation : float
        Largest tolerated loss of quality, relative to the reference (0.1: 10 %).
    pipeline : str
        Pipeline that alerts start, empty for none.
    params : dict
        Parameters of that pipeline; ``{start}`` and ``{end}`` in a text are replaced by the first day of the
        alerting windows and the day after the last (ISO dates).
    enabled : bool
        Whether the control plane evaluates it periodically.
    """

    endpoint: Annotated[str, Documented(NAME)]
    window: Annotated[str, Documented(WINDOW)] = "day"
    metric: Annotated[str, Documented(choices=NUMBER_METRICS + LABEL_METRICS)] = "mae"
    max_degradation: Annotated[float, Documented(above=0)] = 0.1
    pipeline: Annotated[str, Documented(NAME, optional=True)] = ""
    params: dict[str, str | int | float | bool] = field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True)
class FeatureDrift:
    """Comparison of one column of a window with the reference.

    Attributes
    ----------
    name : str
        Name of the column, or ``prediction``.
    kind : str
        ``numeric`` or ``categorical``.
    effect : float
        Wasserstein distance in standard deviations of the reference (numeric), or total variation distance.
    floor : float
        Smallest effect that counts as drift.
    p_value : float
        Permutation p-value for the size of this window, before the correction for multiple columns.
    missing_change : float
        Change of the share of missing values, from -1 to 1.
    drifted : bool
        Whether the effect is significant (Benjamini-Hochberg) and at least `floor`.
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

    `start_ms` and `end_ms` are milliseconds since the epoch. `quality` is the metric of the rows with a known outcome
    (None without any), `reference_quality` that of the reference; `coverage` is the share of rows with a known outcome,
    from 0 to 1. `features` are the prediction, then the inputs. `degraded` and `drifted` are results of this window
    alone; an alert needs more than one window. The first of `versions` has most rows, and is the evaluated one.
    `fingerprint` is a digest of the data behind the window: the window is evaluated again when it changes.
    """

    endpoint: str
    label: str
    start_ms: int
    end_ms: int
    rows: int
    versions: list[int]
    quality: JsonNumber | None
    reference_quality: JsonNumber | None
    metric: str
    coverage: float
    drifted: bool
    degraded: bool
    features: list[FeatureDrift] = field(default_factory=list)
    note: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Alert:
    """An alert of a monitor; times are milliseconds since the epoch, `resolved_ms` is 0 while it is open."""

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
    """A monitor with its evaluated windows in order of time and its open and resolved alerts."""

    spec: MonitorSpec
    windows: list[Window] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    evaluated_ms: int = 0
