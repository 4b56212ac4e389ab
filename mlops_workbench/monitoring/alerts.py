"""Alerts: what a row of windows, taken together, calls for. Pure rules; nothing is stored or sent here.

A window *fires* when it is bad itself and enough of the last three windows are (``settings.consecutive``),
counted for drift and for quality apart. Only windows of the same model version and of at least
``settings.act_rows`` rows count; for quality, so many rows with truth.

* Nothing open: the newest window that fires on quality, or else the newest that fires at all, raises an alert.
  Windows that an earlier alert has covered, up to where the windows were fine again, raise nothing.
* An alert is open: nothing new, unless quality fires too while the alert was about drift alone. Then
  it is resolved and one with the graver kind takes its place.
* The last ``consecutive`` windows are fine, or another version serves: the alert is resolved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.monitors import Alert, FeatureDrift, Window
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.shown.formats import change, number, share

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

    Worse predictions do. Drift alone informs: inputs move with every season, and a model that still predicts well
    needs no other.
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
        Of one endpoint, in order of time.
    past_alerts : sequence of Alert
        All alerts so far; others' are left alone.
    settings : MonitoringSettings
        `act_rows` and `consecutive`.
    endpoint : str
        The endpoint.
    serving : int, optional
        Version that answers now, by default the one of the newest window.
    now : int, optional
        Time of the decision in milliseconds.

    Returns
    -------
    list of Alert
        New alerts (with ids of their own), and open ones that are resolved now (`resolved_ms` set). Empty when
        nothing changes. Calling again with these among `past_alerts` gives an empty list.
    """
    moment = now_ms() if now is None else now
    acting = [window for window in windows if window.rows >= settings.act_rows and _judged(window)]
    version = serving if serving is not None else acting[-1].versions[0] if acting else None
    if version is None:
        return []
    own = sorted((a for a in past_alerts if a.endpoint == endpoint), key=lambda alert: alert.at_ms)
    changes = [dataclasses.replace(a, resolved_ms=moment) for a in own if not a.resolved_ms and a.version != version]
    own = [alert for alert in own if alert.version == version]
    stretch = _stretch(acting, version)
    is_open = next((alert for alert in reversed(own) if not alert.resolved_ms), None)
    begin = _uncovered(stretch, [alert for alert in own if alert.resolved_ms], is_open, settings)
    place, kind = _newest_firing(stretch, begin, settings)

    if is_open is not None:
        graver = kind is not None and "quality" in kind and is_open.kind == "drift"
        if not graver:
            if _fine_again(stretch, is_open, settings):
                changes.append(dataclasses.replace(is_open, resolved_ms=moment))
            return changes
        changes.append(dataclasses.replace(is_open, resolved_ms=moment))
    if kind is not None:
        recent = stretch[max(0, place - _LOOK_BACK + 1) : place + 1]
        changes.append(
            Alert(
                id=new_id(),
                endpoint=endpoint,
                kind=kind,
                window=stretch[place].label,
                message=_message(kind, recent, version),
                at_ms=moment,
                version=version,
            )
        )
    return changes


def _judged(window: Window) -> bool:
    return bool(window.features) or window.quality is not None


def _stretch(acting: Sequence[Window], version: int) -> list[Window]:
    """The newest windows that are all of `version`."""
    found: list[Window] = []
    for window in reversed(acting):
        if window.versions[0] != version:
            break
        found.append(window)
    return found[::-1]


def _uncovered(
    stretch: Sequence[Window], resolved: Sequence[Alert], is_open: Alert | None, settings: MonitoringSettings
) -> int:
    """First place after what resolved alerts have covered."""
    begin = 0
    labels = [window.label for window in stretch]
    for alert in resolved:
        # An alert that the open one took the place of covers nothing by itself.
        if alert.window not in labels or (is_open is not None and alert.at_ms >= is_open.at_ms):
            continue
        fine = 0
        end = len(stretch)
        for place in range(labels.index(alert.window) + 1, len(stretch)):
            fine = 0 if _bad(stretch[place]) else fine + 1
            if fine >= settings.consecutive:
                end = place + 1
                break
        begin = max(begin, end)
    return begin


def _newest_firing(stretch: Sequence[Window], begin: int, settings: MonitoringSettings) -> tuple[int, Kind | None]:
    drift_only = -1
    for place in range(len(stretch) - 1, begin - 1, -1):
        recent = stretch[max(begin, place - _LOOK_BACK + 1) : place + 1]
        drift = sum(window.drifted for window in recent) >= settings.consecutive
        quality = sum(_acts_on_quality(window, settings) for window in recent) >= settings.consecutive
        if quality and _acts_on_quality(stretch[place], settings):
            return place, "drift+quality" if drift else "quality"
        if drift and stretch[place].drifted and drift_only < 0:
            drift_only = place
    return (drift_only, "drift") if drift_only >= 0 else (-1, None)


def _fine_again(stretch: Sequence[Window], alert: Alert, settings: MonitoringSettings) -> bool:
    later = stretch
    labels = [window.label for window in stretch]
    if alert.window in labels:
        later = stretch[labels.index(alert.window) + 1 :]
    last = later[-settings.consecutive :]
    return len(last) == settings.consecutive and not any(_bad(window) for window in last)


def _bad(window: Window) -> bool:
    return window.drifted or window.degraded


def _acts_on_quality(window: Window, settings: MonitoringSettings) -> bool:
    return window.degraded and window.coverage * window.rows >= settings.act_rows


def _message(kind: Kind, recent: Sequence[Window], version: int) -> str:
    parts = []
    if "quality" in kind:
        worse = [window for window in recent if window.degraded]
        newest = worse[-1]
        parts.append(
            f"{_NAMES.get(newest.metric, newest.metric)} is {_number(newest.quality)} in {newest.label}, against "
            f"{_number(newest.reference_quality)} on the reference{_percent(newest)}"
            f" ({len(worse)} of {len(recent)} windows degraded)"
        )
    if "drift" in kind:
        moved = [window for window in recent if window.drifted]
        features = sorted((f for f in moved[-1].features if f.drifted), key=lambda f: f.effect / f.floor, reverse=True)
        named = ", ".join(_moved(feature) for feature in features[:4])
        more = f" and {len(features) - 4} more" if len(features) > 4 else ""
        parts.append(f"drift in {moved[-1].label}: {named}{more} ({len(moved)} of {len(recent)} windows drifted)")
    return f"version {version}: " + "; ".join(parts)


def _moved(feature: FeatureDrift) -> str:
    if feature.effect < feature.floor:
        return f"{feature.name} missing {change(100 * feature.missing_change)} points"
    if feature.kind == "numeric":
        return f"{feature.name} by {number(feature.effect)} standard deviations"
    return f"{feature.name} by {share(feature.effect)} of its values"


def _percent(window: Window) -> str:
    if window.quality is None or not window.reference_quality:
        return ""
    relative = window.quality / window.reference_quality - 1
    return f", {'+' if relative > 0 else ''}{share(relative)}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else number(value)
