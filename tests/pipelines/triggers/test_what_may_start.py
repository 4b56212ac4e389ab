"""What holds a start back, who may call a webhook, and which alerts count."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from mlops_workbench.core.errors import InvalidInput, Unauthorized
from mlops_workbench.core.monitors import Alert, FeatureDrift, Window
from mlops_workbench.core.shown.formats import moment
from mlops_workbench.pipelines.definition.nouns import StartLimits
from mlops_workbench.pipelines.triggers.alerts import matches, unknown_measure
from mlops_workbench.pipelines.triggers.guards import held
from mlops_workbench.pipelines.triggers.webhook import LARGEST_BODY, check_caller, params_of

NOW, HOUR = 1_800_000_000_000, 3_600_000


def test_an_active_run_holds_a_start_back() -> None:
    found = held(NOW, active=1, max_active=1, starts_ms=[], limits=StartLimits())
    assert found == "a run is active, and max_active is 1"
    assert not held(NOW, active=1, max_active=2, starts_ms=[], limits=StartLimits())


def test_a_day_has_so_many_starts() -> None:
    limits, starts = StartLimits(per_day=2), [NOW - 30 * HOUR, NOW - 20 * HOUR, NOW - HOUR]
    found = held(NOW, active=0, max_active=1, starts_ms=starts, limits=limits)
    assert found == f"2 starts in 24 hours, and per_day is 2: {moment(NOW + 4 * HOUR)}"
    assert not held(NOW + 4 * HOUR, active=0, max_active=1, starts_ms=starts, limits=limits)


def test_a_cool_down_holds_until_its_end() -> None:
    of_all = held(NOW, active=0, max_active=1, starts_ms=[NOW - HOUR], limits=StartLimits(cooldown=7200))
    own = held(NOW, active=0, max_active=1, starts_ms=[NOW - HOUR], limits=StartLimits(), last_ms=NOW - 2 * HOUR,
               cooldown=3 * 3600)  # fmt: skip
    assert of_all == own == f"cool-down until {moment(NOW + HOUR)}"
    assert not held(NOW, active=0, max_active=1, starts_ms=[NOW - 3 * HOUR], limits=StartLimits(cooldown=7200))


BODY = b'{"params": {"month": 3}, "ref": "refs/heads/main"}'


def test_a_caller_shows_the_secret_or_signs_the_body() -> None:
    signature = "sha256=" + hmac.new(b"s3cret", BODY, hashlib.sha256).hexdigest()
    check_caller("s3cret", "Bearer s3cret", "", BODY)
    check_caller("s3cret", "", signature, BODY)
    # The bytes of a header arrive as Latin-1.
    check_caller("geh\u00e4im", "Bearer geh\u00e4im".encode().decode("latin-1"), "", BODY)
    for secret, bearer, signed in [
        ("s3cret", "Bearer wrong", ""), ("s3cret", "", ""), ("", "Bearer ", ""), ("s3cret", "s3cret", ""),
        ("other", "", signature), ("", "", "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()),
        ("s3cret", "", signature[:-1]), ("s3cret", "Bearer s3cr\u00e9t", "sha256=\u00e9"),
    ]:  # fmt: skip
        with pytest.raises(Unauthorized):
            check_caller(secret, bearer, signed, BODY)
    with pytest.raises(Unauthorized):
        check_caller("s3cret", "", signature, BODY + b" ")


def test_a_body_gives_parameters_and_nothing_else() -> None:
    assert params_of(BODY) == {"month": 3} and params_of(b" ") == {} and params_of(b'{"ref": 1}') == {}
    for wrong in (b"{", b"[]", b'{"params": [1]}', b"\xff", b'{"params": {}}' + b" " * LARGEST_BODY, b"[" * 100_000):
        with pytest.raises(InvalidInput):
            params_of(wrong)


def window(label: str, effect: float, quality: float | None, end_ms: int) -> Window:
    feature = FeatureDrift("price", "numeric", effect, 0.1, 0.01, 0.0, True)
    return Window("churn", label, end_ms - HOUR, end_ms, 100, [1], quality, 0.9, "auc", 1.0, True, True, [feature])


WINDOWS = [window("1", 0.5, 0.70, NOW), window("2", 0.1, 0.90, NOW + HOUR), window("3", 0.4, 0.75, NOW + 2 * HOUR)]


def alert(kind: str, label: str = "3", resolved_ms: int = 0) -> Alert:
    return Alert("a", "churn", kind, label, "worse", NOW, 1, "", resolved_ms)  # type: ignore[arg-type]


def test_an_alert_about_drift_counts_when_enough_windows_are_above() -> None:
    drift = {"monitor": "churn", "metric": "effect", "above": 0.3, "windows": 1, "cooldown": 0.0}
    assert "price" in matches("drift", drift, alert("drift"), WINDOWS)
    assert matches("drift", drift, alert("drift", "2"), WINDOWS) == ""
    assert matches("drift", {**drift, "windows": 2}, alert("drift+quality"), WINDOWS) == ""
    assert matches("drift", drift, alert("quality"), WINDOWS) == ""
    assert matches("drift", drift, alert("drift", resolved_ms=1), WINDOWS) == ""
    assert matches("drift", {**drift, "monitor": "other"}, alert("drift"), WINDOWS) == ""
    assert matches("drift", drift, alert("drift", "gone"), WINDOWS) == ""
    assert "effect" in unknown_measure("drift", {**drift, "metric": "psi"}) and not unknown_measure("drift", drift)


def test_an_alert_about_quality_counts_when_the_condition_holds_over_its_time() -> None:
    metric = {"monitor": "churn", "when": "auc < 0.80", "over": 3600.0, "cooldown": 0.0}
    assert matches("metric", metric, alert("quality"), WINDOWS) == "auc is 0.75"
    assert matches("metric", {**metric, "over": 2 * 3600.0}, alert("quality"), WINDOWS) == ""
    assert matches("metric", {**metric, "over": 3 * 3600.0}, alert("quality"), WINDOWS) != ""
    assert matches("metric", {**metric, "when": "f1 < 0.8"}, alert("quality"), WINDOWS) == ""
