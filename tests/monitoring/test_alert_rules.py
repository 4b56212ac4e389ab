"""When windows raise an alert, when it ends, and what it starts."""

from __future__ import annotations

import pytest

from mlops_workbench.core.monitors import Alert, FeatureDrift, Window
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.monitoring.alerts import decide, should_trigger

SETTINGS = MonitoringSettings()
MOVED = FeatureDrift("temperatur", "numeric", 1.5, 0.1, 0.002, 0.0, True)
STILL = FeatureDrift("temperatur", "numeric", 0.02, 0.1, 0.6, 0.0, False)


def windows(story: str, *, version: int = 1, rows: int = 1000, coverage: float = 1.0, first: int = 0) -> list[Window]:
    """One window a letter: ``.`` fine, ``d`` drifted, ``q`` degraded, ``b`` both."""
    return [
        Window(
            "e", f"w{first + place}", place, place + 1, rows, [version],
            quality=15.0 if letter in "qb" else 10.0, reference_quality=10.0, metric="mae", coverage=coverage,
            drifted=letter in "db", degraded=letter in "qb",
            features=[MOVED if letter in "db" else STILL],
        )
        for place, letter in enumerate(story)
    ]  # fmt: skip


def settle(found: list[Window], past: list[Alert], now: int = 1) -> list[Alert]:
    """Past alerts with the changes merged in, as the control plane keeps them."""
    changes = {alert.id: alert for alert in decide(found, past, SETTINGS, endpoint="e", now=now)}
    return [changes.pop(alert.id, alert) for alert in past] + list(changes.values())


@pytest.mark.parametrize(
    ("story", "kind", "window"),
    [
        ("bb", "drift+quality", "w1"), (".b.b", "drift+quality", "w3"), ("qq", "quality", "w1"),
        (".d.d", "drift", "w3"), ("dqb", "drift+quality", "w2"), ("qq.d", "quality", "w1"),
        ("bbbb..d", "drift+quality", "w3"),
    ],
)  # fmt: skip
def test_two_of_three_windows_raise_an_alert_of_their_kind(story: str, kind: str, window: str) -> None:
    (alert,) = decide(windows(story), [], SETTINGS, endpoint="e", now=7)
    assert (alert.kind, alert.window, alert.version, alert.at_ms, alert.resolved_ms) == (kind, window, 1, 7, 0)


@pytest.mark.parametrize("story", ["", "...", "b", "b..b", "d..", "..q", "dq"])
def test_a_single_bad_window_raises_nothing(story: str) -> None:
    assert decide(windows(story), [], SETTINGS, endpoint="e") == []


def test_small_windows_and_little_truth_raise_nothing() -> None:
    assert decide(windows("bbb", rows=499), [], SETTINGS, endpoint="e") == []
    (alert,) = decide(windows("bbb", coverage=0.3), [], SETTINGS, endpoint="e")
    assert alert.kind == "drift"


def test_the_message_gives_numbers_and_names() -> None:
    (alert,) = decide(windows("bb"), [], SETTINGS, endpoint="e")
    assert "15 in w1, against 10 on the reference, +50 %" in alert.message
    assert "temperatur by 1.5 standard deviations" in alert.message
    assert "2 of 2 windows degraded" in alert.message


def test_worse_predictions_start_the_pipeline_and_drift_alone_does_not() -> None:
    kinds = {kind: decide(windows(story), [], SETTINGS, endpoint="e")[0] for kind, story in
             {"drift": "dd", "quality": "qq", "drift+quality": "bb"}.items()}  # fmt: skip
    assert {kind: should_trigger(alert) for kind, alert in kinds.items()} == {
        "drift": False, "quality": True, "drift+quality": True,
    }  # fmt: skip


def test_while_an_alert_is_open_nothing_new_is_raised() -> None:
    past = settle(windows("bb"), [])
    for story in ("bb", "bbb", "bbb.", "bbb.b", "bbb.bb"):
        assert decide(windows(story), past, SETTINGS, endpoint="e") == []


def test_quality_after_drift_replaces_the_alert() -> None:
    past = settle(windows("dd"), [])
    past = settle(windows("dbb"), past, now=2)
    old, new = past
    assert (old.kind, old.resolved_ms) == ("drift", 2)
    assert (new.kind, new.resolved_ms) == ("drift+quality", 0)
    assert decide(windows("dbb"), past, SETTINGS, endpoint="e") == []
    assert decide(windows("dbbb"), past, SETTINGS, endpoint="e") == []


def test_late_truth_escalates_alerts_of_past_windows() -> None:
    past = settle(windows("dddd"), [])
    (_, new) = settle(windows("bbbd"), past, now=2)
    assert (new.kind, new.window, new.resolved_ms) == ("drift+quality", "w2", 0)


def test_two_fine_windows_end_an_alert_and_old_windows_do_not_raise_it_again() -> None:
    past = settle(windows("bbb."), [])
    assert past[0].resolved_ms == 0
    past = settle(windows("bbb.."), past, now=5)
    assert past[0].resolved_ms == 5
    assert decide(windows("bbb.."), past, SETTINGS, endpoint="e") == []
    assert decide(windows("bbb..b"), past, SETTINGS, endpoint="e") == []
    past = settle(windows("bbb..bb"), past, now=9)
    assert [(alert.window, alert.resolved_ms) for alert in past] == [("w2", 5), ("w6", 0)]


def test_another_version_ends_the_alert_and_starts_afresh() -> None:
    before = windows("bbb")
    past = settle(before, [])
    (ended,) = decide(before, past, SETTINGS, endpoint="e", serving=2, now=4)
    assert (ended.id, ended.resolved_ms) == (past[0].id, 4)
    after = [*before, *windows("b", version=2, first=3)]
    past = settle(after, past, now=4)
    assert [alert.resolved_ms for alert in past] == [4]
    past = settle([*before, *windows("bb", version=2, first=3)], past, now=6)
    assert [(alert.version, alert.resolved_ms) for alert in past] == [(1, 4), (2, 0)]


def test_alerts_of_other_endpoints_are_left_alone() -> None:
    other = Alert("x", "other", "quality", "w1", "", 0, 1)
    (alert,) = decide(windows("bb"), [other], SETTINGS, endpoint="e")
    assert alert.endpoint == "e"


@pytest.mark.parametrize("story", ["bb.bb..bb...dd.qq", "dddbbb...bbb", "q.q.q..d.d.dd", "bqdbqd......b.b"])
def test_deciding_twice_never_raises_twice_and_at_most_one_alert_is_open(story: str) -> None:
    past: list[Alert] = []
    for size in range(1, len(story) + 1):
        found = windows(story[:size])
        past = settle(found, past, now=size)
        assert sum(not alert.resolved_ms for alert in past) <= 1
        assert decide(found, past, SETTINGS, endpoint="e") == []
