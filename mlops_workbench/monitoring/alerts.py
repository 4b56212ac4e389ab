"""Rules that raise and resolve alerts from a series of windows. Pure functions; nothing is stored or sent here.

A window *fires* if it is bad itself and ``settings.consecutive`` of the last three windows are, counted separately for
drift and quality. Only windows of the same model version and of at least ``settings.act_rows`` rows count; for
quality, of as many rows with true labels.

* No alert is open: the newest window that fires on quality, else the newest that fires at all, raises an alert.
  Windows that a resolved alert covers, up to those that resolved it, raise nothing.
* An alert is open: only if it is for drift and quality fires too, it is resolved and replaced by one for quality.
* The last ``consecutive`` windows are good, or another version is served: the alert is resolved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.monitors import Alert, FeatureDrift, Window
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.shown.formats import change, number, share
from mlops_workbench.core.wire.json_numbers import JsonNumber, finite_number, real_number

Kind = Literal["drift", "quality", "drift+quality"]

_LOOK_BACK = 3
_NAMES = {
    "mae": "the mean absolute error",
    "rmse": "the root mean squared error",
    "r2": "R²",
    "accuracy": "the accuracy",
    "f1": "the F1 score",
}


def should_trigger(alert: Alert) -> bool:
    """Whether an alert starts the monitor's pipeline.

    Degraded quality does. Drift alone does not: inputs change with every season, and a model that still predicts well
    need not be replaced.
    """
    return alert.kind in ("quality", "drift+quality")


def decide(
    windows: Sequence[Window],
    past_alerts: Sequence[Alert],
    settings: MonitoringSettings,
    *,
    endpoint: str,
    serving: int | None = None,
    now: int | None = None,
) -> list[Alert]:
    """Alerts to raise and to resolve.

    Parameters
    ----------
    windows : sequence of Window
        Windows of one endpoint, in order of time.
    past_alerts : sequence of Alert
        All alerts so far; those of other endpoints are ignored.
    settings : MonitoringSettings
        `act_rows` and `consecutive`.
    endpoint : str
        The endpoint.
    serving : int, optional
        Version that is served now, by default the one of the newest window.
    now : int, optional
        Time of the decision in milliseconds.

    Returns
    -------
    list of Alert
        New alerts, and open ones that are resolved now (with `resolved_ms`). A second call with these among
        `past_alerts` returns an empty list.
    """
    moment = now_ms() if now is None else now
    acting = [window for window in windows if window.rows >= settings.act_rows and _evaluated(window)]
    version = serving if serving is not None else acting[-1].versions[0] if acting else None
    if version is None:
        return []
    own = sorted((a for a in past_alerts if a.endpoint == endpoint), key=lambda alert: alert.at_ms)
    changes = [dataclasses.replace(a, resolved_ms=moment) for a in own if not a.resolved_ms and a.version != version]
    own = [alert for alert in own if alert.version == version]
    series = _series(acting, version)
    opened = next((alert for alert in reversed(own) if not alert.resolved_ms), None)
    begin = _uncovered(series, [alert for alert in own if alert.resolved_ms], opened, settings)
    place, kind = _newest_firing(series, begin, settings)

    if opened is not None:
        escalates = kind is not None and "quality" in kind and opened.kind == "drift"
        if escalates or _recovered(series, opened, settings):
            changes.append(dataclasses.replace(opened, resolved_ms=moment))
        if not escalates:
            return changes
    if kind is not None:
        recent = series[max(0, place - _LOOK_BACK + 1) : place + 1]
        changes.append(
            Alert(
                id=new_id(),
                endpoint=endpoint,
                kind=kind,
                window=series[place].label,
                message=_message(kind, recent, version),
                at_ms=moment,
                version=version,
            )
        )
    return changes


def _evaluated(window: Window) -> bool:
    return bool(window.features) or window.quality is not None


def _series(acting: Sequence[Window], version: int) -> list[Window]:
    """The newest windows, as far back as all are of `version`."""
    found: list[Window] = []
    for window in reversed(acting):
        if window.versions[0] != version:
            break
        found.append(window)
    return found[::-1]


def _uncovered(
    series: Sequence[Window], resolved: Sequence[Alert], opened: Alert | None, settings: MonitoringSettings
) -> int:
    """First place after the windows that resolved alerts cover."""
    begin = 0
    labels = [window.label for window in series]
    for alert in resolved:
        # An alert that the open one has replaced covers no windows.
        if alert.window not in labels or (opened is not None and alert.at_ms >= opened.at_ms):
            continue
        good = 0
        end = len(series)
        for place in range(labels.index(alert.window) + 1, len(series)):
            good = 0 if _bad(series[place]) else good + 1
            if good >= settings.consecutive:
                end = place + 1
                break
        begin = max(begin, end)
    return begin


def _newest_firing(series: Sequence[Window], begin: int, settings: MonitoringSettings) -> tuple[int, Kind | None]:
    drift_only = -1
    for place in range(len(series) - 1, begin - 1, -1):
        recent = series[max(begin, place - _LOOK_BACK + 1) : place + 1]
        drift = sum(window.drifted for window in recent) >= settings.consecutive
        quality = sum(_acts_on_quality(window, settings) for window in recent) >= settings.consecutive
        if quality and _acts_on_quality(series[place], settings):
            return place, "drift+quality" if drift else "quality"
        if drift and series[place].drifted and drift_only < 0:
            drift_only = place
    return (drift_only, "drift") if drift_only >= 0 else (-1, None)


def _recovered(series: Sequence[Window], alert: Alert, settings: MonitoringSettings) -> bool:
    later = series
    labels = [window.label for window in series]
    if alert.window in labels:
        later = series[labels.index(alert.window) + 1 :]
    last = later[-settings.consecutive :]
    return len(last) == settings.consecutive and not any(_bad(window) for window in last)


def _bad(window: Window) -> bool:
    return window.drifted or window.degraded


def _acts_on_quality(window: Window, settings: MonitoringSettings) -> bool:
    return window.degraded and window.coverage * window.rows >= settings.act_rows


def _message(kind: Kind, recent: Sequence[Window], version: int) -> str:
    parts = []
    if "quality" in kind:
        degraded = [window for window in recent if window.degraded]
        newest = degraded[-1]
        parts.append(
            f"{_NAMES.get(newest.metric, newest.metric)} is {_number(newest.quality)} in {newest.label}, against "
            f"{_number(newest.reference_quality)} on the reference{_percent(newest)}"
            f" ({len(degraded)} of {len(recent)} windows degraded)"
        )
    if "drift" in kind:
        drifted = [window for window in recent if window.drifted]
        newest = drifted[-1]
        features = sorted((f for f in newest.features if f.drifted), key=lambda f: f.effect / f.floor, reverse=True)
        named = ", ".join(_drift(feature) for feature in features[:4])
        more = f" and {len(features) - 4} more" if len(features) > 4 else ""
        parts.append(f"drift in {newest.label}: {named}{more} ({len(drifted)} of {len(recent)} windows drifted)")
    return f"version {version}: " + "; ".join(parts)


def _drift(feature: FeatureDrift) -> str:
    if feature.effect < feature.floor:
        return f"{feature.name} missing {change(100 * feature.missing_change)} points"
    if feature.kind == "numeric":
        return f"{feature.name} by {number(feature.effect)} standard deviations"
    return f"{feature.name} by {share(feature.effect)} of its values"


def _percent(window: Window) -> str:
    quality, reference = finite_number(window.quality), finite_number(window.reference_quality)
    if quality is None or not reference:
        return ""
    relative = quality / reference - 1
    return f", {'+' if relative > 0 else ''}{share(relative)}"


def _number(value: JsonNumber | None) -> str:
    return "unknown" if value is None else number(real_number(value))
