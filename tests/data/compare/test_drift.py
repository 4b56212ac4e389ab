"""What counts as drift, and how rarely chance does."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.data.compare.drift import find_drift

SETTINGS = MonitoringSettings()
QUICK = MonitoringSettings(permutations=199)


def mixed(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pa.Table:
    return pa.table(
        {
            "normal": rng.normal(shift, 1, rows),
            "skewed": rng.exponential(1, rows),
            "count": rng.poisson(2, rows),
            "flag": rng.random(rows) < 0.3,
            "carrier": rng.choice(list("ABCDEFGH"), rows),
            "größe [m²]": pa.array(rng.normal(5, 2, rows), mask=rng.random(rows) < 0.1),
        }
    )


@pytest.mark.parametrize("rows", [200, 500])
def test_without_drift_windows_that_raise_a_flag_stay_below_the_nominal_rate(rows: int) -> None:
    rng = np.random.default_rng(11)
    reference = mixed(rng, 2000)
    flagged = sum(
        any(feature.drifted for feature in find_drift(reference, mixed(rng, rows), QUICK, seed=seed))
        for seed in range(150)
    )
    # Under no drift the false discovery rate is the rate of windows with any flag: at most 5 percent.
    # One reference is shared by all windows, which makes their outcomes depend on each other: hence the wide margin.
    assert binomtest(flagged, 150, 0.08, alternative="greater").pvalue > 0.001


def test_p_values_without_drift_are_uniform_enough() -> None:
    rng = np.random.default_rng(3)
    values = [
        feature.p_value
        for seed in range(40)
        for feature in find_drift(mixed(rng, 600), mixed(rng, 300), QUICK, seed=seed)
    ]
    assert binomtest(sum(value <= 0.1 for value in values), len(values), 0.1).pvalue > 0.001


def test_a_fixed_threshold_would_cry_wolf_where_this_rule_does_not() -> None:
    rng = np.random.default_rng(5)
    found = [
        find_drift(pa.table({"x": rng.normal(size=5000)}), pa.table({"x": rng.normal(size=100)}), QUICK, seed=seed)[0]
        for seed in range(40)
    ]
    assert sum(feature.effect >= feature.floor for feature in found) > 15
    assert sum(feature.drifted for feature in found) < 8


@pytest.mark.parametrize("rows", [500, 5000])
def test_a_shift_of_a_third_of_a_deviation_is_found(rows: int) -> None:
    rng = np.random.default_rng(7)
    found = {f.name: f for f in find_drift(mixed(rng, 5000), mixed(rng, rows, shift=0.33), SETTINGS)}
    assert found["normal"].drifted
    assert found["normal"].effect == pytest.approx(0.33, abs=0.12)
    assert not found["skewed"].drifted


def test_a_real_but_tiny_shift_does_not_count() -> None:
    rng = np.random.default_rng(9)
    settings = MonitoringSettings(max_rows=50_000)
    reference, window = ({"x": rng.normal(mean, 1, 50_000)} for mean in (0.0, 0.04))
    (feature,) = find_drift(pa.table(reference), pa.table(window), settings)
    assert feature.p_value < 0.01
    assert not feature.drifted


def test_one_drifting_column_among_a_hundred_is_found() -> None:
    rng = np.random.default_rng(13)
    reference = {f"x{i}": rng.normal(size=1000) for i in range(100)}
    window = {f"x{i}": rng.normal(0.5 if i == 50 else 0, 1, 1000) for i in range(100)}
    found = find_drift(pa.table(reference), pa.table(window), SETTINGS)
    assert [feature.name for feature in found if feature.drifted] == ["x50"]


def test_unseen_categories_and_a_changed_mix_are_drift() -> None:
    rng = np.random.default_rng(17)
    reference = pa.table({"a": rng.choice(["x", "y"], 2000), "b": rng.choice(["x", "y"], 2000)})
    window = pa.table(
        {
            "a": rng.choice(["x", "y", "neu"], 1000, p=[0.46, 0.46, 0.08]),
            "b": rng.choice(["x", "y"], 1000, p=[0.7, 0.3]),
        }
    )
    found = find_drift(reference, window, SETTINGS)
    assert all(feature.drifted and feature.kind == "categorical" for feature in found)
    assert found[0].effect == pytest.approx(0.08, abs=0.03)
    assert found[1].effect == pytest.approx(0.2, abs=0.05)


def test_text_of_many_values_is_reduced_to_the_frequent_ones() -> None:
    rng = np.random.default_rng(19)
    ids = [f"id-{i}" for i in range(6000)]
    (feature,) = find_drift(pa.table({"id": ids[:3000]}), pa.table({"id": rng.permutation(ids)[:1000]}), QUICK)
    assert feature.effect < 0.1


def test_more_missing_values_are_drift_by_two_points_and_not_by_one() -> None:
    rng = np.random.default_rng(23)

    def column(share: float) -> pa.Table:
        mask = np.arange(4000) < share * 4000
        return pa.table({"x": pa.array(rng.normal(size=4000), mask=rng.permutation(mask))})

    (more,) = find_drift(column(0.05), column(0.08), SETTINGS)
    (little,) = find_drift(column(0.05), column(0.06), SETTINGS)
    assert more.drifted
    assert more.missing_change == pytest.approx(0.03)
    assert not little.drifted
    assert little.missing_change == pytest.approx(0.01)


def test_nan_null_and_infinity_all_count_as_missing() -> None:
    rng = np.random.default_rng(29)
    values = rng.normal(size=1000)
    values[:100], values[100:200] = np.nan, np.inf
    window = pa.table({"x": pa.array(values, mask=np.arange(1000) >= 900)})
    (feature,) = find_drift(pa.table({"x": rng.normal(size=1000)}), window, SETTINGS)
    assert feature.missing_change == pytest.approx(0.3)
    assert feature.drifted
    assert np.isfinite(feature.effect)


def test_constant_columns_drift_only_when_the_constant_changes() -> None:
    def constant(value: object, rows: int) -> list[object]:
        return [value] * rows

    reference = pa.table({"same": constant(0.1, 600), "moved": constant(0.1, 600), "name": constant("é", 600)})
    window = pa.table({"same": constant(0.1, 300), "moved": constant(0.2, 300), "name": constant("é", 300)})
    same, moved, name = find_drift(reference, window, SETTINGS)
    assert (same.drifted, same.effect, same.p_value) == (False, 0.0, 1.0)
    assert moved.drifted
    assert np.isfinite(moved.effect)
    assert not name.drifted


def test_empty_and_wholly_missing_columns_give_an_answer() -> None:
    empty = pa.table({"x": pa.array([], pa.float64())})
    full = pa.table({"x": pa.array([1.0, 2.0, 3.0] * 200)})
    gone = pa.table({"x": pa.nulls(600)})
    assert not find_drift(full, empty, SETTINGS)[0].drifted
    assert not find_drift(gone, gone, SETTINGS)[0].drifted
    (feature,) = find_drift(full, gone, SETTINGS)
    assert feature.drifted
    assert feature.missing_change == 1.0


def test_numbers_that_are_labels_are_compared_as_labels() -> None:
    reference = pa.table({"label": [0, 1, 2] * 400})
    window = pa.table({"label": [0.0, 2.0, 2.0] * 400})
    (feature,) = find_drift(reference, window, SETTINGS, categorical=["label"])
    assert feature.kind == "categorical"
    assert feature.effect == pytest.approx(1 / 3)


def test_dates_booleans_and_dictionaries_are_understood_whatever_their_unit() -> None:
    days = [date(2013, 1, 1) + timedelta(days=i % 90) for i in range(900)]
    reference = pa.table(
        {
            "day": pa.array(days),
            "at": pa.array(days, pa.date32()).cast(pa.timestamp("ns")),
            "flag": [True, False, False] * 300,
            "kind": pa.array(["a", "b", "c"] * 300).dictionary_encode(),
        }
    )
    window = pa.table(
        {
            "day": pa.array(days),
            "at": pa.array(days, pa.date32()).cast(pa.timestamp("us", tz="UTC")),
            "flag": [True, False, False] * 300,
            "kind": pa.array(["a", "b", "c"] * 300),
        }
    )
    found = find_drift(reference, window, SETTINGS)
    assert [feature.kind for feature in found] == ["numeric", "numeric", "categorical", "categorical"]
    assert not any(feature.drifted for feature in found)
    assert max(feature.effect for feature in found) < 1e-9


def test_columns_of_one_side_only_are_left_out_and_the_answer_is_repeatable() -> None:
    rng = np.random.default_rng(31)
    reference, window = mixed(rng, 6000), mixed(rng, 7000)
    first = find_drift(reference.append_column("old", pa.nulls(6000)), window, SETTINGS)
    assert first == find_drift(reference, window.append_column("new", pa.nulls(7000)), SETTINGS)
