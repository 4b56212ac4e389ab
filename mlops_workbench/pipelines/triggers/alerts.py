"""Whether an alert of a monitor is what a trigger waits for: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mlops_workbench.core.gates import evaluate
from mlops_workbench.core.monitors import Alert, FeatureDrift, Window
from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number
from mlops_workbench.pipelines.definition.nouns import TriggerKind

#: Measures of drift that a trigger of the kind ``drift`` can name, of each column of a window.
MEASURES: dict[str, Callable[[FeatureDrift], float]] = {
    "effect": lambda feature: feature.effect,
    "missing": lambda feature: abs(feature.missing_change),
}


def unknown_measure(kind: TriggerKind, settings: Mapping[str, object]) -> str:
    """Why a trigger can never match, empty if it can."""
    if kind == "drift" and settings["metric"] not in MEASURES:
        return f"monitors do not measure '{settings['metric']}', so it starts nothing; known: {', '.join(MEASURES)}"
    return ""


def matches(kind: TriggerKind, settings: Mapping[str, object], alert: Alert, windows: Sequence[Window]) -> str:
    """What an alert says that a trigger waits for; empty for nothing.

    Parameters
    ----------
    kind, settings : str, mapping
        The trigger: ``drift`` or ``metric``.
    alert : Alert
        The alert.
    windows : sequence of Window
        Windows of the monitor in order of time.
    """
    if settings["monitor"] != alert.endpoint or alert.resolved_ms:
        return ""
    labels = [window.label for window in windows]
    if alert.window not in labels:
        return ""
    until = [window for window in windows[: labels.index(alert.window) + 1] if window.rows]
    if kind == "drift" and "drift" in alert.kind:
        return _drift(settings, until)
    if kind == "metric" and "quality" in alert.kind:
        return _metric(settings, until)
    return ""


def _drift(settings: Mapping[str, object], windows: Sequence[Window]) -> str:
    measure, above, wanted = MEASURES.get(str(settings["metric"])), settings["above"], settings["windows"]
    assert isinstance(above, (int, float)) and isinstance(wanted, int)
    last = windows[-wanted:]
    if measure is None or len(last) < wanted:
        return ""
    worst = [max(window.features, key=measure, default=None) for window in last]
    if any(feature is None or not measure(feature) > above for feature in worst):
        return ""
    newest = worst[-1]
    assert newest is not None
    return f"{settings['metric']} of {newest.name} is {number(measure(newest))}"


def _metric(settings: Mapping[str, object], windows: Sequence[Window]) -> str:
    over = settings["over"]
    assert isinstance(over, (int, float))
    since = windows[-1].end_ms - over * 1000 if windows else 0
    known = [window for window in windows if window.end_ms > since and window.quality is not None]
    rows = sum(window.rows * window.coverage for window in known)
    if not known or not rows:
        return ""
    name = known[-1].metric
    mean = sum(real_number(_value(window)) * window.rows * window.coverage for window in known) / rows
    passed = evaluate([str(settings["when"])], {name: mean}, at_ms=known[-1].end_ms).passed
    return f"{name} is {number(mean)}" if passed else ""


def _value(window: Window) -> JsonNumber:
    assert window.quality is not None
    return window.quality
