"""Differences of data: schema, rows, distributions; by rows where they are at hand, else by profiles."""

from __future__ import annotations

import dataclasses
import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.commands.data.sources import pair_sources
from mlops_workbench.commands.data.versions import diff_view
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.data.compare.diff import DataDiff, diff_data, profile_effect
from mlops_workbench.data.compare.source import DataSource
from mlops_workbench.data.describe import describe_dataset
from mlops_workbench.data.tables.frames import as_frame

SETTINGS = MonitoringSettings()


def source(frame: pd.DataFrame, name: str = "t", *, rows: bool = True) -> DataSource:
    known = describe_dataset("", frame, name)
    return DataSource(
        name, name, known.digest, known.covers, known.rows, known.profile, as_frame(frame) if rows else None
    )


def diff(a: pd.DataFrame, b: pd.DataFrame, *, rows: bool = True) -> DataDiff:
    return diff_data(source(a, rows=rows), source(b, rows=rows), SETTINGS)


def table(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "price": rng.normal(100, 10, rows),
            "city": rng.choice(["Wien", "Köln", "Graz"], rows, p=[0.6, 0.3, 0.1]),
            "when": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "seats": pd.array(rng.integers(1, 5, rows), dtype="Int64"),
            "gap": np.where(rng.random(rows) < 0.1, np.nan, 1.0),
        }
    )


def test_the_same_data_has_no_difference():
    found = diff(table(), table().copy())
    assert found.same and (found.rows_added, found.rows_removed) == (0, 0) and not found.reordered
    assert {column.change for column in found.columns} == {"same"} and not found.added and not found.removed
    assert not any(column.drifted for column in found.columns)


def test_added_removed_and_retyped_columns_are_reported():
    other = table().drop(columns="gap").assign(extra=1.5).astype({"id": "float64", "city": "category"})
    found = diff(table(), other)
    assert found.removed == [("gap", "float64")] and found.added == [("extra", "float64")]
    changes = {column.name: column for column in found.columns}
    assert changes["id"].change == "retyped" and changes["id"].types == ("int64", "float64")
    assert changes["city"].change == "retyped" and changes["price"].change == "same"
    # The values are the same ones, whatever their type.
    assert (found.rows_added, found.rows_removed) == (0, 0)


def test_rows_are_counted_exactly_and_repeated_ones_too():
    base = table()
    other = pd.concat([base.iloc[5:], base.iloc[[10, 10]]], ignore_index=True)
    found = diff(base, other)
    assert (found.rows_added, found.rows_removed) == (2, 5) and not found.reordered
    assert diff(base, base.iloc[::-1]).reordered
    one = base.copy()
    one.loc[3, "city"] = "Linz"
    found = diff(base, one)
    assert (found.rows_added, found.rows_removed) == (1, 1)
    assert {c.name: c.change for c in found.columns}["city"] == "changed"
    missing = base.copy()
    missing["gap"] = missing["gap"].astype(object).where(missing["gap"].notna(), None)
    assert (diff(base, missing).rows_added, diff(base, missing).rows_removed) == (0, 0)


def test_an_empty_table_has_its_columns():
    empty = table().iloc[:0]
    found = diff(table(), empty)
    assert (found.rows, found.rows_added, found.rows_removed) == ((2000, 0), 0, 2000)
    assert not found.added and not found.removed and {column.name for column in found.columns} == set(table())
    assert {column.values[1] for column in found.columns} == {"–"}
    assert diff(empty, empty.copy()).same
    arrays = [pd.DataFrame(np.empty((rows, 2)), columns=["a", "b"]) for rows in (0, 3)]
    assert [column.name for column in diff(*arrays, rows=False).columns] == ["a", "b"]


UNUSUAL = {
    "missing as None, NaN and NA": (["a", None, "b"], ["a", float("nan"), "b"]),
    "binary": ([b"\xff", None], [b"\xff", None]),
    "lone surrogates": (["\ud800", "x"], ["\ud800", "x"]),
    "mixed with NA": ([1, "a", None], [1, "a", pd.NA]),
    "matrices": ([np.ones((2, 2)), np.ones((3, 2))], [np.ones((2, 2)), np.ones((3, 2))]),
    "large integers": ([2**70, 1], [2**70, 1]),
    "dates": ([datetime.date(2020, 1, 1), None], [datetime.date(2020, 1, 1), pd.NaT]),
    "decimals and floats": ([decimal.Decimal("1.5"), None], [1.5, None]),
    "classes": ([int, str], [int, str]),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_rows_of_unusual_values_are_compared_by_value(kind):
    left, right = (pd.DataFrame({"x": pd.Series(values, dtype=object)}) for values in UNUSUAL[kind])
    found = diff(left, right)
    assert (found.rows_added, found.rows_removed) == (0, 0)
    right = pd.DataFrame({"x": pd.Series([*UNUSUAL[kind][1][:-1], "other"], dtype=object)})
    found = diff(left, right)
    assert (found.rows_added, found.rows_removed) == (1, 1) and found.columns[0].name == "x"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pd.cut([1, 2], [0, 1, 2]), pd.cut([1, 2], [0, 1, 3])),
        (pd.Series([2**60, 2**60 + 1]), pd.Series([2**60, 2**60 + 2], dtype="Int64")),
        (pd.Series([1, 2, None], dtype="int64[pyarrow]"), pd.Series([1, 2, 1], dtype="int64[pyarrow]")),
        (np.array([1, 2], dtype=np.longdouble), np.array([1, 3], dtype=np.longdouble)),
        (np.array([1j, 2]), np.array([1j, 3])),
        (pd.Series(["None", "b"], dtype=object), pd.Series([None, "b"], dtype=object)),
    ],
)
def test_one_changed_value_is_one_row_whatever_the_type(left, right):
    found = diff(pd.DataFrame({"x": left}), pd.DataFrame({"x": right}))
    assert (found.rows_added, found.rows_removed) == (1, 1)


@pytest.mark.parametrize("rows", [True, False])
def test_the_largest_change_of_distribution_comes_first(rows):
    other = table()
    rng = np.random.default_rng(8)
    other["price"] = other["price"] + 30
    other["city"] = rng.choice(["Wien", "Köln", "Graz"], len(other), p=[0.4, 0.3, 0.3])
    other["seats"] = other["seats"].sample(frac=1, random_state=1).array
    found = diff(table(), other, rows=rows)
    names = [column.name for column in found.columns]
    assert names[:2] == ["price", "city"] and found.exact is rows
    changes = {column.name: column for column in found.columns}
    assert changes["price"].effect == pytest.approx(3.0, abs=0.25) and changes["price"].drifted
    assert changes["city"].effect == pytest.approx(0.2, abs=0.05) and changes["city"].drifted
    assert changes["seats"].change == "changed" and not changes["seats"].drifted
    assert changes["price"].values[0].startswith("100") or changes["price"].values[0].startswith("99")
    if not rows:
        assert found.rows_added is None


def test_profiles_tell_nearly_the_same_as_rows():
    rng = np.random.default_rng(1)
    for shift, spread in ((0.0, 1.0), (0.5, 1.0), (0.0, 2.0), (3.0, 0.5)):
        a, b = (pd.DataFrame({"x": rng.normal(m, s, 5000)}) for m, s in ((0, 1), (shift, spread)))
        by_rows, by_profile = (diff(a, b, rows=rows).columns[0].effect for rows in (True, False))
        assert by_profile == pytest.approx(by_rows, abs=0.12)


def test_missing_values_that_came_are_a_drift():
    other = table()
    other.loc[:400, "price"] = np.nan
    found = {column.name: column for column in diff(table(), other).columns}["price"]
    assert found.missing == (0.0, pytest.approx(401 / 2000)) and found.drifted


def test_a_constant_column_that_moved_has_an_effect():
    columns = [describe_dataset("", pd.DataFrame({"x": [v] * 50})).profile["columns"][0] for v in (1.0, 2.0, 1.0)]
    assert profile_effect(columns[0], columns[1]) == 1.0 and profile_effect(columns[0], columns[2]) == 0.0


def test_what_has_no_columns_is_compared_by_its_version():
    from scipy import sparse

    a, b = (describe_dataset("", sparse.csr_array(np.eye(3) * k), "m") for k in (1, 2))
    sides = [DataSource("m", "m", d.digest, d.covers, d.rows, d.profile) for d in (a, b)]
    found = diff_data(*sides, SETTINGS)
    assert not found.same and found.columns == [] and diff_data(sides[0], sides[0], SETTINGS).same


def test_the_view_shows_what_changed_and_the_frame_all():
    a = source(table(), "X")
    b = source(table().assign(price=0.0, **{f"new <{i}>": i for i in range(3)}), "X")
    view = diff_view(diff_data(a, b, SETTINGS), a, b)
    text = view.text(width=200)
    assert "price" in text and "new <2>" in text and "unchanged columns  5" in text
    assert "&lt;2&gt;" in view.html() and "<2>" not in view.html()
    frame = view.frame()
    assert set(frame["change"]) == {"same", "changed", "added"} and len(frame) == 9
    hidden = dataclasses.replace(a, frame=None)
    assert "profiles" in diff_view(diff_data(hidden, b, SETTINGS), hidden, b).text()


def test_runs_are_compared_data_set_by_data_set():
    x, y, z = (source(pd.DataFrame({"v": [i]}), name) for i, name in enumerate("xyz"))
    assert pair_sources([x, y], [y, x]) == [(x, x), (y, y)]
    assert pair_sources([x, y], [z]) == [(x, z)] and pair_sources([x, y], [y]) == [(y, y)]
    assert pair_sources([x], [z]) == [(x, z)]
    renamed = dataclasses.replace(x, name="x2")
    assert pair_sources([x, y], [y, renamed]) == [(y, y), (x, renamed)] and pair_sources([x, y], [z, z]) == [(x, z)]


def test_the_only_column_of_a_series_is_reported_as_changed():
    a, b = (pd.Series(values, name="y") for values in ([1.0, 2.0], [1.0, 3.0]))
    assert [column.change for column in diff(a, b).columns] == ["changed"]
    assert [column.change for column in diff(a, a.copy()).columns] == ["same"]
