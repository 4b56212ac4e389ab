"""Columns of a table of all kinds, and its digest."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.core.records import Column
from mlops_workbench.data.digest import digest_data
from mlops_workbench.data.tables.columns import columns_of


def table():
    return pd.DataFrame(
        {
            "f": [1.5, None, 3.0],
            "f32": np.array([1, 2, 3], "float32"),
            "i": [1, 2, 3],
            "i8": np.array([1, 2, 3], "int8"),
            "b": [True, False, True],
            "s": ["ä", None, "c"],
            "cat": pd.Categorical(["x", "y", "x"]),
            "cat_int": pd.Categorical([1, 2, 1]),
            "t": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
            "tz": pd.date_range("2024", periods=3, tz="Europe/Berlin"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "nb": pd.array([True, None, False], dtype="boolean"),
            "mixed": [1, "a", None],
            7: [1.0, 2.0, 3.0],
        }
    )


def test_columns_have_mlflows_types_and_are_required_unless_values_are_missing():
    found = {column.name: (column.dtype, column.required) for column in columns_of(table())}
    assert found == {
        "f": ("double", False),
        "f32": ("float", True),
        "i": ("long", True),
        "i8": ("integer", True),
        "b": ("boolean", True),
        "s": ("string", False),
        "cat": ("string", True),
        "cat_int": ("long", True),
        "t": ("datetime", False),
        "tz": ("datetime", True),
        "nullable": ("long", False),
        "nb": ("boolean", False),
        "mixed": ("string", False),
        "7": ("double", True),
    }
    assert columns_of(np.array([[1.0, np.nan], [2.0, 3.0]])) == [
        Column("x0", "double", True),
        Column("x1", "double", False),
    ]
    assert columns_of(np.arange(3)) == [Column("x0", "long", True)]


@pytest.mark.parametrize(
    "value",
    [None, pd.NA, pd.NaT, float("nan"), Decimal("NaN"), Decimal("sNaN"), np.float32("nan"), np.datetime64("NaT"),
     complex("nan")],
)  # fmt: skip
def test_every_missing_value_of_an_array_of_objects_makes_its_column_optional(value):
    assert not columns_of(np.array([value, "text"], dtype=object))[0].required
    assert columns_of(np.array([np.array([1, 2]), "text"], dtype=object))[0].required


def test_the_digest_changes_with_any_cell_name_and_type_and_with_nothing_else():
    base = digest_data(table())
    assert base == digest_data(table()) and len(base.hex) == 32 and base.covers == "content"
    changes = {"f": 9.0, "i": 9, "i8": 9, "b": False, "s": "z", "cat": "y", "t": pd.Timestamp("2025"), "mixed": 4}
    seen = {base.hex}
    for column, value in changes.items():
        other = table()
        other.loc[2, column] = value
        seen.add(digest_data(other).hex)
    renamed = table().rename(columns={"f": "g"})
    seen |= {
        digest_data(renamed).hex,
        digest_data(table().iloc[:2]).hex,
        digest_data(table().astype({"i": "int32"})).hex,
    }
    seen.add(digest_data(table().iloc[::-1]).hex)
    assert len(seen) == len(changes) + 5


@pytest.mark.parametrize(
    "data",
    [
        np.arange(12.0).reshape(3, 4),
        np.array(["a", "bb"]),
        np.array([1, "a", None], dtype=object),
        np.array([], dtype=float),
    ],
)
def test_arrays_have_a_digest_of_their_content(data):
    assert digest_data(data) == digest_data(data.copy()) and digest_data(data).covers == "content"
    if data.size:
        other = data.copy()
        other[(0,) * data.ndim] = "q" if data.dtype.kind in "UO" else 99
        assert digest_data(other).hex != digest_data(data).hex
    strided = np.arange(12.0).reshape(3, 4)[:, ::2]
    assert digest_data(strided) == digest_data(strided.copy())


def test_cells_without_content_are_digested_by_shape_which_is_recorded():
    frame = pd.DataFrame({"l": [object(), object()]})
    assert digest_data(frame).covers == "shape"
