"""What `load` returns is what `save` was given: same values, same types."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.extra import pandas as pdst
from polars.testing import assert_frame_equal as assert_polars_equal

from mlops_workbench import load, save
from mlops_workbench.core.errors import InvalidInput

files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def moved(value, path):
    """The value after a walk through the file."""
    place = str(path)
    assert place
    save("place", value)
    return load("place")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "+05:30"])
moments = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(pd.Timestamp)


def made(kind, rows, data):
    """A column of a kind."""
    values = {
        "int8": st.integers(-128, 127),
        "uint64": st.integers(0, 2**64 - 1),
        "float32": st.floats(width=32),
        "float64": st.floats(),
        "bool": st.booleans(),
        "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
        "boolean": st.none() | st.booleans(),
        "Float32": st.none() | st.floats(width=32, allow_nan=False),
        "string": st.none() | texts,
        "str": texts,
    }
    if kind in values:
        found = data.draw(st.lists(values[kind], min_size=rows, max_size=rows))
        return pd.Series(pd.array(found, dtype=kind), dtype=kind)
    if kind == "category":
        names = data.draw(st.lists(texts, unique=True, min_size=1, max_size=4))
        codes = data.draw(st.lists(st.integers(-1, len(names) - 1), min_size=rows, max_size=rows))
        return pd.Series(pd.Categorical.from_codes(codes, names, ordered=data.draw(st.booleans())))
    if kind == "numbered category":
        codes = data.draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows))
        return pd.Series(pd.Categorical.from_codes(codes, [30, 10, 20]))
    if kind in ("zoned", "naive"):
        found = pd.Series(
            data.draw(st.lists(moments | st.just(pd.NaT), min_size=rows, max_size=rows)), dtype="datetime64[us]"
        )
        found = found.dt.tz_localize("UTC").dt.tz_convert(data.draw(zones)) if kind == "zoned" else found
        return found.astype(
            found.dtype if kind == "zoned" else data.draw(st.sampled_from(["datetime64[s]", "datetime64[ns]"]))
        )
    if kind == "duration":
        return pd.Series(
            data.draw(st.lists(st.integers(-(2**40), 2**40), min_size=rows, max_size=rows)), dtype="timedelta64[ns]"
        )
    assert kind == "objects"
    return pd.Series(data.draw(st.lists(st.none() | st.binary(max_size=4), min_size=rows, max_size=rows)), dtype=object)


KINDS = [
    *("int8", "uint64", "float32", "float64", "bool", "Int64", "boolean", "Float32", "string", "str", "category"),
    *("numbered category", "zoned", "naive", "duration", "objects"),
]
labels = st.one_of(texts, st.integers(-5, 5), st.floats(0.5, 3), st.booleans(), st.tuples(texts, st.integers(0, 3)))


@files
@given(data=st.data(), ending=st.sampled_from([".parquet", ".feather"]))
def test_frames_with_odd_types_names_and_indices_are_the_same_or_refused(tmp_path, data, ending):
    global place
    place = str(tmp_path / f"frame{ending}")
    rows = data.draw(st.integers(0, 6))
    kinds = data.draw(st.lists(st.sampled_from(KINDS), max_size=4))
    names = data.draw(st.lists(labels, min_size=len(kinds), max_size=len(kinds)))
    frame = pd.concat([made(kind, rows, data) for kind in kinds], axis=1) if kinds else pd.DataFrame(index=range(rows))
    assume(len(frame) == rows)
    frame.columns = pd.Index(
        names, tupleize_cols=data.draw(st.booleans()) and bool(names) and all(isinstance(n, tuple) for n in names)
    )
    form = data.draw(st.sampled_from(["range", "names", "dates", "levels"]))
    if form == "names":
        frame.index = pd.Index(
            data.draw(st.lists(texts, min_size=rows, max_size=rows)), name=data.draw(st.none() | texts)
        )
    elif form == "dates":
        frame.index = pd.DatetimeIndex(data.draw(st.lists(moments, min_size=rows, max_size=rows)), name="at").as_unit(
            "us"
        )
    elif form == "levels":
        frame.index = pd.MultiIndex.from_arrays([range(rows), ["a"] * rows], names=["i", None])
    try:
        save("place", frame)
    except InvalidInput as error:
        assert "cannot be saved" in str(error)
        return
    got = load("place")
    pd.testing.assert_frame_equal(got, frame, check_freq=False, check_column_type=False)
    assert list(map(repr, got.columns)) == list(map(repr, frame.columns))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_is_kept_and_not_refused(tmp_path, kind):
    global place
    place = str(tmp_path / "frame.parquet")

    @settings(max_examples=10)
    @given(st.data())
    def check(data):
        frame = pd.DataFrame({"a": made(kind, 4, data), 7: made("str", 4, data), "o": made("objects", 4, data)})
        save("place", frame)
        pd.testing.assert_frame_equal(load("place"), frame)
        save("place", frame["a"].rename(None))
        pd.testing.assert_series_equal(load("place"), frame["a"].rename(None))

    check()


@pytest.mark.parametrize(
    "column",
    [
        [(1, 2), (3, 4)],
        [{"a": 1}, {"b": 2}],
        [1, "a"],
        [1 + 2j, 3j],
        [{1}, {2}],
        [object(), object()],
        [1, None, 2**70],
    ],
)
def test_a_frame_that_parquet_cannot_hold_is_refused_and_the_old_file_is_kept(tmp_path, column):
    global place
    place = str(tmp_path / "frame.parquet")
    save("place", pd.DataFrame({"a": [1]}))
    with pytest.raises(InvalidInput, match="cannot be saved") as refused:
        save("place", pd.DataFrame({"wrong": pd.Series(column, dtype=object if column[0] != 1 + 2j else None)}))
    assert refused.value.where == place and refused.value.hint
    assert load("place")["a"].tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["frame.parquet"]


@files
@given(data=st.data())
def test_objects_that_parquet_has_a_type_for_are_kept(tmp_path, data):
    global place
    place = str(tmp_path / "frame.parquet")
    kinds = [
        st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
        st.dates(),
        st.integers(-(2**31), 2**31),
        texts,
        st.binary(max_size=5),
        st.lists(st.integers(0, 9), max_size=3),
    ]
    column = data.draw(st.sampled_from(kinds).flatmap(lambda kind: st.lists(st.none() | kind, min_size=1, max_size=5)))
    frame = pd.DataFrame({"a": pd.Series(column, dtype=object)})
    try:
        save("place", frame)
    except InvalidInput:
        assert not any(isinstance(value, str | bytes | datetime.date) for value in column)
        return
    got = load("place")["a"].tolist()
    assert got == column and [type(value) for value in got] == [type(value) for value in column]


@files
@given(frame=pdst.data_frames([pdst.column("x", dtype=float), pdst.column("n", dtype=int)]))
def test_polars_and_arrow_tables_come_back_as_what_they_were(tmp_path, frame):
    global place
    for ending in (".parquet", ".feather"):
        place = str(tmp_path / f"table{ending}")
        table = pl.from_pandas(frame).with_columns(
            pl.lit("a").cast(pl.Categorical).alias("c"),
            pl.lit("b").cast(pl.Enum(["a", "b"])).alias("e"),
            pl.lit(datetime.datetime(2026, 1, 2)).cast(pl.Datetime("ms", "Europe/Berlin")).alias("t"),
            pl.lit(datetime.timedelta(seconds=3)).alias("d"),
            pl.lit(decimal.Decimal("1.20")).alias("m"),
        )
        # Earlier versions of polars leave the precision open.
        table = table.with_columns(pl.col("m").cast(pl.Decimal(38, 2)))
        save("place", table)
        got = load("place")
        assert got.schema == table.schema
        # Earlier versions compare no categories of different tables.
        assert_polars_equal(*(one.with_columns(pl.col("c").cast(pl.String)) for one in (got, table)))
        save("place", table["x"])
        assert isinstance(load("place"), pl.Series) and load("place").to_list() == pytest.approx(
            table["x"].to_list(), nan_ok=True
        )
        arrow = pa.table(
            {"s": pa.array([1, None], pa.timestamp("s")), "d": pa.array(["x", "y"]).dictionary_encode()},
            metadata={"a": "b"},
        )
        save("place", arrow)
        assert load("place").equals(arrow)


@files
@given(
    array=npst.arrays(
        npst.scalar_dtypes() | npst.array_dtypes(max_size=3), npst.array_shapes(min_dims=0, max_side=3, min_side=0)
    )
)
def test_arrays_of_every_type_are_the_same(tmp_path, array):
    global place
    place = str(tmp_path / "array.npy")
    save("place", array)
    got = load("place")
    assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
    place = str(tmp_path / "arrays.npz")
    save("place", {"file": array, "a/b": array, "": array, "x.npy": array})
    got = load("place")
    assert list(got) == ["file", "a/b", "", "x.npy"]
    assert all(one.dtype == array.dtype and one.tobytes() == array.tobytes() for one in got.values())


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.array(["a", "bc"], dtype=np.dtypes.StringDType()), np.ma.masked_array([1], [True]),
     np.array([(1, "a")], dtype=[("n", int), ("o", object)])],
)  # fmt: skip
def test_an_array_that_needs_pickle_or_would_lose_something_is_refused(tmp_path, array):
    global place
    place = str(tmp_path / "array.npy")
    with pytest.raises(InvalidInput):
        save("place", array)
    assert list(tmp_path.iterdir()) == []


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
plain = st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


def same(one, other):
    if isinstance(one, float) and one != one:
        return isinstance(other, float) and other != other
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other and str(one) == str(other)


@files
@given(value=plain)
def test_json_keeps_every_number_and_text(tmp_path, value):
    global place
    place = str(tmp_path / "value.json")
    try:
        save("place", value)
    except InvalidInput as error:
        assert "read back as a number" in str(error)
        return
    assert same(load("place"), value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1: "a"}, "the key 1"),
        ({"a": [datetime.date(2026, 1, 1)]}, r"value\['a'\]\[0\] is a date"),
        ("NaN", "as a number"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(tmp_path, value, says):
    global place
    place = str(tmp_path / "value.json")
    with pytest.raises(InvalidInput, match=says):
        save("place", value)


@files
@given(content=st.binary() | st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_and_bytes_are_kept_as_they_are(tmp_path, content):
    global place
    place = str(tmp_path / ("note.txt" if isinstance(content, str) else "note.bin"))
    save("place", content)
    assert load("place") == content
