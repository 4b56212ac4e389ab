"""The version of data: the same content, the same digest; any other content, another one."""

from __future__ import annotations

import copy
import datetime
import decimal
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from mlops_workbench.data.digest import digest_data
from mlops_workbench.data.digest_cost import estimate_seconds, sample_rows

TEXTS = ["", "a", "nan", "None", "ä", "日本", "a\0b", "x" * 300]
COLUMNS = {
    "float": (st.floats(allow_nan=True), "float64"),
    "int": (st.integers(-(2**63), 2**63 - 1), "int64"),
    "small": (st.integers(0, 255), "uint8"),
    "bool": (st.booleans(), "bool"),
    "text": (st.sampled_from(TEXTS), "str"),
    "python": (st.sampled_from(TEXTS), pd.StringDtype("python", na_value=np.nan)),
    "object": (st.one_of(st.none(), st.text(max_size=4), st.integers(), st.booleans(), st.floats()), "object"),
    "nested": (st.one_of(st.lists(st.integers()), st.dictionaries(st.text(max_size=2), st.integers())), "object"),
    "nullable": (st.one_of(st.integers(0, 9), st.just(pd.NA)), "Int64"),
    "flag": (st.one_of(st.booleans(), st.just(pd.NA)), "boolean"),
    "arrow": (st.one_of(st.integers(0, 9), st.none()), pd.ArrowDtype(pa.int32())),
    "category": (st.sampled_from(["red", "green", "blue", None]), "category"),
    "when": (st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1)), "datetime64[us]"),
    "zone": (st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1)), "datetime64[us, UTC]"),
    "took": (st.timedeltas(datetime.timedelta(0), datetime.timedelta(999)), "timedelta64[us]"),
    "period": (st.dates(datetime.date(1990, 1, 1), datetime.date(2100, 1, 1)), "period[D]"),
}
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def frames(draw: st.DrawFn, rows: int = 1) -> pd.DataFrame:
    size = draw(st.integers(rows, 6))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6))
    columns = []
    for kind in kinds:
        values, dtype = COLUMNS[kind]
        drawn = draw(st.lists(values, min_size=size, max_size=size))
        columns.append(pd.Series(_cells(drawn), dtype=object).astype(dtype))
    frame = pd.concat(columns, axis=1)
    # The same name twice happens, and names need not be text.
    frame.attrs["kinds"] = kinds
    frame.columns = draw(st.lists(st.sampled_from(["a", "b", 1, "1"]), min_size=len(kinds), max_size=len(kinds)))
    return frame


def _cells(values: list) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


@quick
@given(frames(rows=0))
def test_copies_and_pickles_and_layouts_of_a_frame_are_the_same_version(frame):
    version = digest_data(frame)
    assert version.covers == "content" and len(version.hex) == 32
    alone = pd.concat([frame.iloc[:, i].copy() for i in range(frame.shape[1])], axis=1)
    wide = pd.concat([frame, frame], axis=1).iloc[:, : frame.shape[1]]
    twice = pd.concat([frame, frame], ignore_index=True).iloc[: len(frame)]
    for same in (frame.copy(), copy.deepcopy(frame), pickle.loads(pickle.dumps(frame)), alone, wide):
        assert digest_data(same) == version
    if list(twice.dtypes) == list(frame.dtypes):
        assert digest_data(twice) == version
    stored = frame.set_axis(pd.Index(np.arange(len(frame))), axis=0)
    assert digest_data(stored) == version


@quick
@given(frames(), st.data())
def test_any_changed_cell_is_another_version_and_its_column_is_reported(frame, data):
    row = data.draw(st.integers(0, len(frame) - 1))
    column = data.draw(st.integers(0, frame.shape[1] - 1))
    old = frame.iloc[:, column]
    kind = frame.attrs["kinds"][column]
    value = data.draw(COLUMNS[kind][0])
    cells = old.astype(object).to_numpy().copy()
    before = cells[row]
    cells[row] = value
    new = pd.Series(cells, dtype=object).astype(old.dtype)
    if _told(before) == _told(value) or new.equals(old):
        return
    changed = pd.concat([new if i == column else frame.iloc[:, i] for i in range(frame.shape[1])], axis=1).set_axis(
        frame.columns, axis=1
    )
    assert digest_data(changed).hex != digest_data(frame).hex
    if not frame.columns.astype(str).duplicated().any():
        name = str(frame.columns[column])
        assert digest_data(changed).columns[name] != digest_data(frame).columns[name]


def _told(value) -> str:
    return f"{type(value).__name__} {value!r}"


@quick
@given(
    st.sampled_from(["f8", "f4", "i8", "u1", "?", "c16", "M8[ns]", "U3", "O", "g", ">f8"]),
    st.integers(0, 40),
    st.integers(1, 5),
    st.data(),
)
def test_the_layout_of_an_array_does_not_count_and_every_element_does(dtype, rows, columns, data):
    array = (np.arange(rows * columns).reshape(rows, columns) % 7).astype("i8").astype(dtype)
    version = digest_data(array)
    assert version.covers == "content"
    padded = np.zeros((rows, columns * 2), dtype=dtype)
    padded[:, ::2] = array
    reversed_twice = array[::-1].copy()[::-1]
    for same in (np.asfortranarray(array), padded[:, ::2], reversed_twice, pickle.loads(pickle.dumps(array))):
        assert digest_data(same) == version
    assert digest_data(array.reshape(-1)).hex != version.hex
    if rows:
        place = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
        other = array.copy()
        other[place] = not other[place] if dtype == "?" else np.array(9).astype(dtype)
        assert digest_data(other).hex != version.hex


def test_columns_of_one_block_are_read_right_beyond_a_tile():
    block = np.random.default_rng(0).random((10_001, 7))
    by_rows = pd.DataFrame(block, copy=False)
    assert not by_rows.iloc[:, 3].to_numpy().flags.c_contiguous
    by_columns = pd.DataFrame({i: block[:, i].copy() for i in range(7)})
    assert digest_data(by_rows) == digest_data(by_columns)
    block[10_000, 6] = np.nextafter(block[10_000, 6], 2)
    assert digest_data(pd.DataFrame(block, copy=False)).hex != digest_data(by_columns).hex


def test_floats_go_by_their_bits_but_for_nan():
    zero = pd.DataFrame({"x": [0.0, np.nan]})
    assert digest_data(zero).hex != digest_data(pd.DataFrame({"x": [-0.0, np.nan]})).hex
    # Bits of a NaN that was computed, on this processor and on others.
    for bits in (0xFFF8000000000000, 0x7FF8000000000001, 0x7FF0000000000001):
        other = np.array([0, bits], dtype=np.uint64).view(np.float64)
        for make in (
            lambda x: pd.DataFrame({"x": x}), lambda x: pd.DataFrame({"x": x, "y": x}), lambda x: x, pl.Series,
            lambda x: pd.Series(x, dtype="Float64"), lambda x: pa.table({"x": x}), lambda x: list(x.tolist()),
            lambda x: np.tile(x, 50_000).reshape(2, -1).T, lambda x: pd.DataFrame(np.tile(x, 20_000).reshape(-1, 4)),
            lambda x: x.astype(np.float32), lambda x: x.astype(np.float16), lambda x: x.astype(np.longdouble),
            lambda x: x.astype(complex), lambda x: pd.DataFrame({"x": pd.Series(list(x), dtype=object)}),
            lambda x: [x], lambda x: sparse.csr_array([[1.0, x[1]]]),
        ):  # fmt: skip
            assert digest_data(make(other)).hex == digest_data(make(np.array([0.0, np.nan]))).hex


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [1.0, 2.0]),
        (["1"], [1]),
        ([None], [np.nan]),
        ([None], ["nan"]),
        ([True], [1]),
        ([b"a"], ["a"]),
        ([pd.NA], [pd.NaT]),
        ([decimal.Decimal("1.0")], [decimal.Decimal("1.00")]),
        ([(1, 2)], [[1, 2]]),
        ([2**70], [2**70 + 1]),
        (["\ud800"], ["\udfff"]),
        ([np.array([1, 2])], [np.array([1, 3])]),
        ([{"a": {1, 2}}], [{"a": {1, 3}}]),
        ([pd.Timestamp("2024", tz="UTC")], [pd.Timestamp("2024", tz="Europe/Paris")]),
        ([pd.Interval(0, 1)], [pd.Interval(0, 1, closed="left")]),
    ],
)
def test_objects_are_distinguished_by_type_and_value(one, other):
    first, second = (pd.DataFrame({"x": pd.Series(_cells(v), dtype=object)}) for v in (one, other))
    assert digest_data(first).covers == digest_data(second).covers == "content"
    assert digest_data(first).hex != digest_data(second).hex
    assert digest_data(first) == digest_data(copy.deepcopy(first))


def test_equal_dicts_and_sets_are_equal_however_they_were_filled():
    one = pd.Series([{"a": 1, "b": 2}, {"x", "y", "z"}])
    other = pd.Series([{"b": 2, "a": 1}, {"z", "y", "x"}])
    assert digest_data(one) == digest_data(other)


def test_cells_without_content_are_known_by_their_shape_and_it_is_said():
    found = digest_data(pd.DataFrame({"x": [object(), object()], "n": [1, 2]}))
    assert found.covers == "shape"
    assert found.hex != digest_data(pd.DataFrame({"x": [object()], "n": [1]})).hex


def test_categories_count_by_value_and_their_order_only_where_it_means_something():
    values = ["b", "a", None, "b"]
    plain = pd.Series(pd.Categorical(values, categories=["a", "b"]))
    turned = pd.Series(pd.Categorical(values, categories=["b", "unused", "a"]))
    assert digest_data(plain) == digest_data(turned)
    assert digest_data(plain).hex != digest_data(pd.Series(pd.Categorical(["a", "a", None, "b"]))).hex
    up = pd.Series(pd.Categorical(values, categories=["a", "b"], ordered=True))
    down = pd.Series(pd.Categorical(values, categories=["b", "a"], ordered=True))
    assert len({digest_data(plain).hex, digest_data(up).hex, digest_data(down).hex}) == 3
    many = pd.Series(pd.Categorical(range(3000)))
    assert digest_data(many).hex != digest_data(many.iloc[::-1].reset_index(drop=True)).hex


def test_an_index_counts_unless_it_only_numbers_the_rows():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    named = frame.set_axis(["p", "q", "r"])
    levels = frame.set_axis(pd.MultiIndex.from_tuples([(1, "p"), (1, "q"), (2, "r")]))
    other = frame.set_axis(pd.MultiIndex.from_tuples([(1, "p"), (1, "q"), (2, "s")]))
    shuffled = frame.set_axis([7, 3, 9])
    found = [digest_data(f).hex for f in (frame, named, levels, other, shuffled)]
    assert len(set(found)) == 5
    assert digest_data(pd.DataFrame({"x": [9.0, 1.0, 2.0, 3.0]}).iloc[1:]).hex == found[0]


def test_names_types_and_order_of_columns_count():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    others = [
        frame.rename(columns={"a": "c"}), frame[["b", "a"]], frame.astype("int32"), frame.rename(columns={"a": 1}),
        frame.rename(columns={"a": "1"}), frame.iloc[:1], frame.iloc[:0], frame.iloc[:, :0], frame["a"],
        frame.to_numpy(), frame["a"].to_frame(),
    ]  # fmt: skip
    assert len({digest_data(f).hex for f in [frame, *others]}) == len(others) + 1


def test_sparse_matrices_are_the_same_in_every_format():
    dense = np.array([[0.0, 1.5, 0.0], [0.0, 0.0, 0.0], [2.5, 0.0, -1.0]])
    version = digest_data(sparse.csr_array(dense))
    for form in (sparse.csc_array, sparse.coo_array, sparse.lil_array, sparse.csr_matrix, sparse.bsr_array):
        assert digest_data(form(dense)) == version
    doubled = sparse.coo_array(([1.0, 0.5, 2.5, -1.0, 0.0], ([0, 0, 2, 2, 1], [1, 1, 0, 2, 1])), shape=(3, 3))
    assert digest_data(doubled) == version and doubled.nnz == 5
    unsorted = sparse.csr_array(([-1.0, 2.5, 1.5], [2, 0, 1], [0, 1, 1, 3]))
    assert digest_data(unsorted).hex != version.hex
    for place, value in (((2, 0), 2.0), ((1, 1), 1.0)):
        other = sparse.lil_array(dense)
        other[place] = value
        assert digest_data(other.tocsr()).hex != version.hex
    assert digest_data(sparse.csr_array(dense.astype("f4"))).hex != version.hex
    assert digest_data(sparse.csr_array((3, 4))).hex != digest_data(sparse.csr_array((4, 3))).hex


ARROW = pa.table(
    {
        "i": pa.array([1, None, 3, 4]),
        "s": pa.array(["a", None, "", "ä"]),
        "b": pa.array([True, False, None, True]),
        "l": pa.array([[1], None, [], [2, None]]),
        "d": pa.array([{"k": 1, "v": "x"}, None, {"k": 2, "v": "y"}, {"k": None, "v": "z"}]),
        "c": pa.array(["u", "v", None, "u"]).dictionary_encode(),
        "t": pa.array([datetime.datetime(2024, 1, 1)] * 4),
        "m": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.25"), decimal.Decimal("0.00")]),
        "k": pa.array([[("a", 1)], None, [], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
    }
)


def test_chunks_and_slices_of_an_arrow_table_do_not_count_and_cells_do():
    version = digest_data(ARROW)
    assert version.covers == "content"
    chunked = pa.concat_tables([ARROW.slice(0, 1), ARROW.slice(1, 2), ARROW.slice(3)])
    sliced = pa.concat_tables([ARROW, ARROW]).slice(4)
    assert digest_data(chunked) == version and digest_data(sliced) == version
    for name in ARROW.column_names:
        at = ARROW.column_names.index(name)
        values = ARROW[name].to_pylist()
        values[3] = values[0]
        if values == ARROW[name].to_pylist():
            values[3] = datetime.datetime(2025, 1, 1) if name == "t" else values[1]
        field = pa.field(name, ARROW.schema.field(name).type)
        column = pa.array(values, field.type) if name != "c" else pa.array([*values[:3], "v"]).dictionary_encode()
        if name == "c":
            field = pa.field(name, column.type)
        other = digest_data(ARROW.set_column(at, field, column))
        assert other.hex != version.hex and other.columns[name] != version.columns[name], name


def test_text_has_one_version_whether_arrow_or_python_holds_it():
    values = ["a", None, "ä", ""]
    one = pd.Series(values, dtype=pd.StringDtype("pyarrow", na_value=np.nan))
    other = pd.Series(values, dtype=pd.StringDtype("python", na_value=np.nan))
    assert digest_data(one) == digest_data(other)


def test_lists_of_rows_have_a_version():
    rows = [[1, 2.0, "a"], [3, 4.0, None]]
    assert digest_data(rows) == digest_data(copy.deepcopy(rows))
    found = {digest_data(r).hex for r in (rows, rows[:1], [{"a": 1}], [{"a": 2}], [1, 2], [[1, 2.0, "a"], [3, 4.0, 0]])}
    assert len(found) == 6


def test_beyond_the_budget_a_sample_is_digested_and_it_is_said():
    frame = pd.DataFrame(np.random.default_rng(0).random((200_000, 4)))
    budget = estimate_seconds(frame) / 10
    sampled = digest_data(frame, budget)
    assert sampled.covers == "sampled" and sampled.hex != digest_data(frame).hex
    assert digest_data(frame.copy(), budget) == sampled
    assert digest_data(frame.iloc[:-1], budget).hex != sampled.hex
    last = frame.copy()
    last.iloc[-1, 0] += 1
    assert digest_data(last, budget).hex != sampled.hex
    assert digest_data(frame, 60).covers == "content"


@given(st.integers(1, 10_000), st.floats(0.0001, 1))
@settings(max_examples=100)
def test_the_rows_of_a_sample_are_spread_and_never_beyond_the_table(rows, share):
    chosen = sample_rows(rows, share)
    assert 1 <= len(chosen) <= rows and chosen[0] == 0
    assert len(set(chosen.tolist())) == len(chosen) and chosen[-1] < rows
    if len(chosen) > 1:
        assert chosen[-1] == rows - 1


@pytest.mark.process
def test_the_version_does_not_depend_on_the_process():
    script = (
        "import pandas as pd; from mlops_workbench.data.digest import digest_data;"
        "print(digest_data(pd.DataFrame({'s': ['a', 'b'], 'o': [{'x', 'y', 'z'}, (1, 'q')]})).hex)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = digest_data(pd.DataFrame({"s": ["a", "b"], "o": [{"x", "y", "z"}, (1, "q")]})).hex
    assert done.stdout.strip() == here


def test_polars_frames_have_a_version():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None, 3], "s": ["x", None, "z"], "l": [[1], [], None]})
    version = digest_data(frame)
    assert version.covers == "content" and set(version.columns) == {"a", "s", "l"}
    assert digest_data(frame.clone()) == version
    assert digest_data(polars.concat([frame[:1], frame[1:]], rechunk=False)) == version
    assert digest_data(frame.with_columns(polars.Series("a", [1, None, 4]))).hex != version.hex
    assert digest_data(frame["a"]).covers == "content"
    lazy = digest_data(frame.lazy())
    assert lazy.covers == "shape" and lazy.hex != digest_data(frame.lazy().rename({"a": "b"})).hex


def test_the_mask_of_an_array_is_part_of_its_content():
    values = np.arange(4.0)
    one, other = np.ma.array(values, mask=[0, 0, 1, 0]), np.ma.array(values, mask=[0, 1, 0, 0])
    digests = {digest_data(data).hex for data in (values, one, other, np.ma.array(values))}
    assert len(digests) == 4 and digest_data(one).hex == digest_data(one.copy()).hex
