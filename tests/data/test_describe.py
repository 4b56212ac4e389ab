"""What is recorded of data of every kind: version, shape, columns, profile, schema, snapshot."""

from __future__ import annotations

import json
import os
import warnings
from datetime import date, time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import sparse

from mlops_workbench.capture.record.encoding import encode
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Artifact, Column, Dataset
from mlops_workbench.data.conversion import from_arrow, to_arrow
from mlops_workbench.data.describe import describe_dataset, description_seconds
from mlops_workbench.data.digest import Digest, digest_data
from mlops_workbench.data.files import digest_path
from mlops_workbench.data.profile import SAMPLED_ROWS, profile_column, profile_table
from mlops_workbench.data.reference import sample_seen
from mlops_workbench.data.snapshot import keep_snapshot
from mlops_workbench.data.tables.kinds import kind_of

COMPUTED_NAN = np.array([0x3FF8000000000000, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)


def frame(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(rows, dtype=float), "s": ["a", "b"] * (rows // 2), "n": range(rows)})


@pytest.mark.parametrize(
    ("data", "kind", "rows", "columns"),
    [
        (frame(), "pandas.DataFrame", 60, ["x", "s", "n"]),
        (frame()["x"], "pandas.Series", 60, ["x"]),
        (np.zeros((5, 2)), "numpy.ndarray", 5, ["x0", "x1"]),
        (np.zeros((5, 2, 3)), "numpy.ndarray", 5, []),
        (np.zeros((3, 2000)), "numpy.ndarray", 3, []),
        (sparse.eye_array(4).tocsc(), "scipy.csc_array", 4, []),
        (pa.table({"a": [1, None], "b": ["x", "y"]}), "pyarrow.Table", 2, ["a", "b"]),
        ([[1, "a"], [2, "b"], [3, "c"]], "builtins.list", 3, []),
        ([{"a": 1}, {"a": 2}], "builtins.list", 2, []),
        (pd.DataFrame(), "pandas.DataFrame", 0, []),
        (frame().iloc[:0], "pandas.DataFrame", 0, ["x", "s", "n"]),
    ],
)
def test_every_kind_of_data_is_described(data, kind, rows, columns):
    found = describe_dataset("u", data, "d")
    assert found.profile["kind"].partition(".")[2] == kind.partition(".")[2] and found.rows == rows
    assert [column.name for column in found.columns] == columns
    assert len(found.digest) == 32 and found.covers == found.profile["digest"] == "content"
    json.dumps(found.profile, allow_nan=False)
    assert description_seconds(data) >= 0


def test_what_is_no_data_is_refused():
    for other in (None, 3, print, {}, object(), iter([]), []):
        assert kind_of(other) == ""
        with pytest.raises(InvalidInput):
            describe_dataset("u", other)


def test_polars_frames_are_described():
    polars = pytest.importorskip("polars")
    data = polars.DataFrame({"a": [1, None], "s": ["x", "y"]})
    found = describe_dataset("u", data)
    assert found.columns == [Column("a", "long", False), Column("s", "string", True)]
    assert found.profile["missing"] == {"a": 1} and found.covers == "content"
    assert describe_dataset("u", data["s"]).columns == [Column("s", "string", True)]
    lazy = describe_dataset("u", data.lazy())
    assert lazy.covers == "shape" and [c.dtype for c in lazy.columns] == ["long", "string"] and lazy.rows == 0


def test_the_profile_of_numbers():
    found = profile_column("x", pd.Series([1.0, 2.0, np.nan, 4.0]))
    assert (found["min"], found["max"], found["missing"], found["mean"]) == (1.0, 4.0, 1, pytest.approx(7 / 3))
    assert len(found["quantiles"]) == 21 and found["quantiles"][10] == 2.0
    found = profile_column("x", np.array([np.inf, 1.0, -np.inf]))
    assert found["infinite"] and found["min"] is None and found["quantiles"][0] == 1.0
    found = profile_column("x", pd.Series([2**62, 1], dtype="int64"))
    assert found["max"] == 2**62 and isinstance(found["max"], int)
    found = profile_column("x", pd.Series([], dtype=float))
    assert found["min"] is None and found["quantiles"] == []
    found = profile_column("x", pd.Series([None, None], dtype="Float64"))
    assert found["missing"] == 2 and found["mean"] is None


def test_the_profile_of_text_and_labels():
    found = profile_column("s", pd.Series(["b", "a", "b", None]))
    assert found["top"] == [["b", 2], ["a", 1]] and found["values"] == ["a", "b"] and found["missing"] == 1
    many = profile_column("s", pd.Series([f"v{i}" for i in range(1000)]))
    assert many["distinct"] == 1000 and len(many["top"]) == 20 and "values" not in many
    assert profile_column("b", pd.Series([True, False, True]))["values"] == [False, True]
    mixed = profile_column("o", pd.Series([1, "1", [1], None, "x" * 500], dtype=object))
    assert mixed["missing"] == 1 and len(mixed["top"]) == 4 and max(len(str(v)) for v, _ in mixed["top"]) == 200
    labels = profile_column("y", np.array([0, 1, 1, 1]))
    assert labels["top"] == [[1, 3], [0, 1]]


def test_a_rare_value_beyond_the_sampled_rows_is_not_overlooked():
    values = pd.Series(["a", "b"] * SAMPLED_ROWS)
    values.iloc[777] = "rare"
    found = profile_column("s", values)
    assert found["values"] == ["a", "b", "rare"]
    numbers = pd.Series(np.zeros(4 * SAMPLED_ROWS))
    numbers.iloc[777] = 9.0
    numbers.iloc[778] = np.nan
    found = profile_column("x", numbers)
    assert found["max"] == 9.0 and found["missing"] == 1


def test_wide_tables_are_profiled_in_part_and_it_is_said():
    wide = pd.DataFrame(np.zeros((3, 250)))
    found = profile_table(wide, digest_data(wide))
    assert len(found["columns"]) == 200 and found["left_out"] == 50
    sampled = profile_table(frame(), Digest("0" * 32, "sampled"))
    assert sampled["digest"] == "sampled"


def test_files_and_folders_have_a_version_of_their_bytes(tmp_path):
    folder = tmp_path / "der Ordner ü"
    folder.mkdir()
    frame().to_parquet(folder / "a.parquet")
    frame().to_csv(tmp_path / "a.csv", index=False)
    found = describe_dataset("u", str(folder / "a.parquet"))
    assert (found.name, found.rows, [c.name for c in found.columns]) == ("a.parquet", 60, ["x", "s", "n"])
    assert found.source == str(folder / "a.parquet") and found.profile["kind"] == "file"
    assert found.profile["columns"][0]["max"] == 59.0
    csv = describe_dataset("u", tmp_path / "a.csv")
    assert csv.rows == 60 and [c.dtype for c in csv.columns] == ["double", "string", "long"]
    whole = describe_dataset("u", folder)
    assert whole.rows == 60 and whole.profile["kind"] == "folder"
    (folder / ".hidden").write_text("x")
    assert describe_dataset("u", folder).digest == whole.digest
    (folder / "a.parquet").rename(folder / "b.parquet")
    assert describe_dataset("u", folder).digest != whole.digest
    assert describe_dataset("u", folder / "b.parquet").digest == found.digest
    (tmp_path / "notes.txt").write_text("hello")
    plain = describe_dataset("u", tmp_path / "notes.txt")
    assert plain.rows == 0 and plain.columns == [] and plain.covers == "content"
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert describe_dataset("u", tmp_path / "broken.parquet").rows == 0
    with pytest.raises(InvalidInput, match="cannot be read"):
        describe_dataset("u", tmp_path / "none.csv")


def test_a_large_file_is_sampled_and_it_is_said(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(40 << 20))
    whole, sampled = digest_path(path), digest_path(path, seconds=0.01)
    assert (whole[1], sampled[1]) == ("content", "sampled") and whole[0] != sampled[0]
    assert digest_path(path, seconds=0.01) == sampled
    with open(path, "ab") as file:
        file.write(b"x")
    assert digest_path(path, seconds=0.01)[0] != sampled[0]


@pytest.mark.parametrize(
    "data",
    [
        frame().set_index("n"),
        frame()["s"],
        pd.DataFrame(np.eye(3), columns=[0, 1, "target"]),
        pd.DataFrame(np.eye(3)),
        pd.DataFrame(np.eye(3), columns=[4, 6, 8]),
        pd.DataFrame({True: [1, 2], False: [3, 4]}),
        pd.DataFrame(np.eye(2), columns=["a", "a"]),
        pd.DataFrame(np.eye(3), columns=[1.5, None, float("nan")]),
        pd.DataFrame(np.eye(3), columns=[("x", 1), "x", 1]),
        pd.DataFrame(np.eye(2), columns=pd.MultiIndex.from_tuples([("x", 1), ("x", "std")], names=["a", None])),
        pd.DataFrame(np.eye(2), columns=pd.date_range("2024-03-31", periods=2, tz="Europe/Paris")),
        pd.DataFrame(np.eye(2), columns=pd.Index([1, "b"], name="n"), index=["u", "v"]),
        pd.DataFrame({"t": pd.Series(["a", None, "b"], dtype=object)}),
        pd.DataFrame({"t": pd.Series(["a", float("nan")], dtype=object), "n": [1, 2]}, index=[5, 3]),
        pd.DataFrame({"i": pd.Series([1, 2], dtype=object), "d": [Decimal("1.5"), Decimal("2.25")]}),
        pd.DataFrame({"b": [b"x", None], "l": [[1, 2], [3]], "y": [date(2024, 1, 2), date(2025, 1, 2)]}),
        pd.DataFrame({"s": np.array(["2024", "2025"], dtype="datetime64[s]")}),
        pd.DataFrame({"s": pd.Series(pd.to_datetime(["2024"], utc=True)).astype("datetime64[s, UTC]")}),
        pd.DataFrame(
            {
                "c": pd.Categorical([30, 10, None], [30, 20, 10]),
                "o": pd.Categorical(["b", "a", "b"], ["b", "a"], ordered=True),
            }
        ),
        pd.Series(pd.Categorical([0.5, 2.5, None], [2.5, 0.5]), name="c"),
        pd.DataFrame({"z": pd.to_datetime(["2024"]).tz_localize("+05:30"), "t": pd.Series(["a"], dtype=object)}),
        pd.Series([1.5, 2.5], name=3),
        pd.Series(["a", None], name=("x", 1), dtype=object),
        pd.Series([1.5, None]),
        pd.DataFrame({"c": pd.Categorical(["a", "b"]), "z": pd.date_range("2024", periods=2, tz="UTC")}),
        np.arange(6, dtype="f4").reshape(3, 2),
        np.arange(12).reshape(2, 3, 2),
        np.array([1, 2, 3], dtype="u1"),
        np.array([["a", "b"]]),
        sparse.random_array((20, 10), density=0.2, rng=np.random.default_rng(0)).tocsc(),
    ],
)
def test_a_snapshot_gives_back_what_was_put_in(data, tmp_path):
    parquet.write_table(to_arrow(data), tmp_path / "x.parquet")
    back = from_arrow(parquet.read_table(tmp_path / "x.parquet"))
    if isinstance(data, pd.DataFrame):
        pd.testing.assert_frame_equal(back, data, check_freq=False)
    elif isinstance(data, pd.Series):
        pd.testing.assert_series_equal(back, data)
    elif isinstance(data, np.ndarray):
        assert back.dtype == data.dtype and back.shape == data.shape and (back == data).all()
    else:
        assert digest_data(back) == digest_data(data)


@pytest.mark.parametrize(
    "data",
    [
        pa.table({"x": [1.5, float("nan"), None]}),
        # The bits of 0 / 0 on some processors.
        pd.DataFrame({"x": COMPUTED_NAN, "t": pd.Series(["a", None], dtype=object)}),
        pd.DataFrame({"x": pd.Series(COMPUTED_NAN.tolist(), dtype=object)}),
        COMPUTED_NAN,
        pa.table({"x": COMPUTED_NAN}),
        pa.table({"s": pa.array([1, None], pa.timestamp("s")), "d": pa.array([86_400_000], pa.date64()).take([0, 0])}),
        [{"a": 1.5}, {"a": float("nan")}],
        pd.DataFrame({"t": pd.Series(["a", None], dtype=object), "c": pd.Categorical(["x", "y"], ordered=True)}),
    ],
)
def test_tables_of_every_library_have_snapshots(data, workspace):
    assert keep_snapshot(workspace, data, "d" * 32, "content")[1] > 0


def test_a_file_with_times_and_gaps_has_a_snapshot(workspace, tmp_path):
    (tmp_path / "x.csv").write_text("when,value\n2024-01-02 03:04:05,1.5\n2024-01-02 03:04:06,\n")
    assert keep_snapshot(workspace, tmp_path / "x.csv", "d" * 32, "content")[1] > 0
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": [1.5, float("nan"), None], "t": [time(1), None, time(2)]})
    assert keep_snapshot(workspace, frame, "e" * 32, "content")[1] > 0


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"d": [{"a": 1}, {"b": 2}], "x": [1, 2]}),
        pd.DataFrame({"d": [pd.Timestamp("2024", tz="UTC"), pd.Timestamp("2024", tz="Asia/Tokyo")]}, dtype=object),
        pd.DataFrame({"d": [(1, 2), (3, 4)]}),
        pd.DataFrame({"d": [1, "a"]}),
        pd.DataFrame({"d": [True, 2]}, dtype=object),
        pd.DataFrame(np.eye(2), columns=[object(), 1]),
        pd.DataFrame({"m": pd.Series(["a", None, float("nan")], dtype=object)}),
        pd.DataFrame({"d": [2**70, 1]}),
        np.array([1 + 2j]),
    ],
)
def test_what_a_snapshot_would_not_give_back_is_refused_without_a_warning(data, workspace):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInput, match="cannot be saved as Parquet") as raised:
            keep_snapshot(workspace, data, "d" * 32, "content")
    assert raised.value.hint
    assert not (workspace.state / "snapshots").exists()


def test_a_refused_snapshot_costs_the_run_no_data_entry(session, records):
    run = session.start_run("asked")
    with pytest.raises(InvalidInput, match="differs in 'd'"):
        run.log_dataset(pd.DataFrame({"d": [{"a": 1}, {"b": 2}], "x": [1, 2]}), "odd", snapshot=True)
    run.end()
    [found] = records.of(Dataset, "asked")
    assert (found.name, found.rows, found.snapshot) == ("odd", 2, "")


def test_snapshots_of_one_version_are_one_blob_even_after_the_store_was_emptied(workspace):
    one = keep_snapshot(workspace, frame(), "d" * 32, "content")
    assert keep_snapshot(workspace, object(), "d" * 32, "content") == one
    os.unlink(workspace.blobs.path(one[0]))
    assert keep_snapshot(workspace, frame(), "d" * 32, "content")[0] == one[0]
    assert workspace.blobs.path(one[0]).is_file()
    with pytest.raises(InvalidInput, match="Parquet"):
        keep_snapshot(workspace, pd.DataFrame({"o": [object()]}), "e" * 32, "content")
    # A sample is no proof that the rest is the same.
    sampled = keep_snapshot(workspace, frame(), "f" * 32, "sampled")
    other = keep_snapshot(workspace, frame(62), "f" * 32, "sampled")
    assert sampled != other


def test_a_snapshot_that_has_no_form_is_an_error_when_asked_for_and_a_note_when_not(
    session, records, workspace, capsys
):
    odd = pd.DataFrame({"o": [1, "a", object()]})
    with pytest.raises(InvalidInput, match="Parquet"):
        session.start_run("asked").log_dataset(odd, "o", snapshot=True)
    (workspace.root / "workbench.toml").write_text('[capture]\nsnapshot = "training"\n')
    from mlops_workbench.capture.session.session import Session
    from mlops_workbench.core.workspace import Workspace

    own = Session(Workspace.open(workspace.root))
    run = own.start_run("kept")
    run.log_dataset(odd, "o")
    run.log_dataset(frame(), "x")
    run.log_dataset(frame(), "not", snapshot=False)
    run.log_dataset(frame(), "t", context="test")
    run.end()
    own.close()
    kept = {data.name: bool(data.snapshot) for data in records.of(Dataset, "kept")}
    assert kept == {"o": False, "x": True, "not": False, "t": False}
    assert "cannot be written as Parquet" in "".join(capsys.readouterr())


def test_names_that_are_no_file_names_have_files(session, records):
    run = session.start_run("names")
    run.log_dataset(frame(), 'df[df["x"] > 1]/../ü', snapshot=True)
    run.log_dataset(pd.DataFrame({"\ud800": [1.0], 3: [2.0], ("a", 1): [3.0]}), "...")
    run.end()
    paths = {file.path for file in records.of(Artifact, "names")}
    assert {"schema/df_df_x_1_.._ü.json", "data/df_df_x_1_.._ü.parquet", "schema/data.json"} <= paths
    assert len(records.of(Dataset, "names")) == 2


def test_a_store_that_cannot_be_written_costs_the_snapshot_only(session, records, workspace, capsys):
    run = session.start_run("full")
    (workspace.state / "store").write_text("in the way")
    run.log_dataset(frame(), "x", snapshot=True)
    run.end()
    found = records.of(Dataset, "full")[0]
    assert found.rows == 60 and not found.snapshot and not found.schema
    assert "could not be stored" in "".join(capsys.readouterr())


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_a_model_that_was_fitted_on_another_library_has_a_signature(library):
    from mlops_workbench.data.reference import reference_parquet, sample_fit_data

    made = pytest.importorskip(library)
    values = {"a": [1.5, None, 3.0], "s": ["x", "y", "z"]}
    data = made.table(values) if library == "pyarrow" else made.DataFrame(values)
    sample = sample_fit_data(data, np.array([0, 1, 0]))
    assert sample is not None and sample.rows == 3
    assert sample.columns == [Column("a", "double", False), Column("s", "string", True)]
    stored = parquet.read_table(pa.BufferReader(reference_parquet(sample, np.array([0, 1, 1]))))
    assert stored.column_names == ["a", "s", "__target__", "__prediction__"]


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (pd.Series(["\ud800", "x", None], dtype=object), ["\\ud800", "x", None]),
        (pd.Series([2**70, 1], dtype=object), [str(2**70), "1"]),
        (pd.Series(pd.cut([1, 2], [0, 1, 2])), ["(0, 1]", "(1, 2]"]),
        (pd.Series(pd.interval_range(0, 2)), ["(0, 1]", "(1, 2]"]),
        (pd.Series(pd.period_range("2020-01", periods=2, freq="M")), ["2020-01", "2020-02"]),
        (pd.Series([1, "a", pd.NA], dtype=object), ["1", "a", None]),
        (pd.Series(pd.arrays.SparseArray([0, 0, 1])), [0, 0, 1]),
        (pd.Series(np.array([1, 2], dtype=np.longdouble)), [1.0, 2.0]),
    ],
)
def test_the_sample_for_monitors_has_values_of_any_type(values, stored):
    from mlops_workbench.data.reference import reference_parquet, sample_fit_data

    sample = sample_fit_data(pd.DataFrame({"x": values}))
    assert sample is not None
    assert parquet.read_table(pa.BufferReader(reference_parquet(sample, None)))["x"].to_pylist() == stored


def test_a_rare_gap_in_an_arrow_table_is_seen():
    values = [1.0] * (2 * SAMPLED_ROWS)
    values[777] = None
    found = describe_dataset("u", pa.table({"a": values}))
    assert found.profile["missing"] == {"a": 1} and found.profile["examined"] == found.rows


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
        np.ones((2, 2), dtype=np.longdouble),
        np.asmatrix([[1, 2], [3, 4]]),
    ],
    ids=["sparse column", "long double", "matrix"],
)
def test_rare_kinds_of_numbers_are_described_and_fit_into_a_record(data):
    described = describe_dataset("run", data, "X")
    assert encode(described)
    assert [column["max"] is not None for column in described.profile["columns"]] == [True] * data.shape[1]


def test_objects_that_refuse_everything_are_described():
    class Refuses:
        def __hash__(self):
            raise ValueError("hash")

        def __eq__(self, other):
            raise ValueError("eq")

        def __repr__(self):
            raise ValueError("repr")

    described = describe_dataset("run", pd.DataFrame({"a": [Refuses(), Refuses()]}), "X")
    assert (described.rows, described.covers) == (2, "shape")


def test_a_second_argument_of_another_length_is_no_target():
    seen = sample_seen(pd.DataFrame({"a": [1, 2, 3]}), [1, 2])
    assert seen is not None and seen.y is None and len(seen.X) == 3


def test_text_with_half_of_a_surrogate_pair_is_described():
    described = describe_dataset("run", ["one", "two \ud800"], "texts")
    assert encode(described)
    assert (described.rows, described.covers) == (2, "content")


@pytest.mark.parametrize(
    ("kind", "values", "seconds"),
    [
        ("date32[pyarrow]", [date(2024, 2, 29), None], 1709164800.0),
        ("timestamp[us][pyarrow]", [pd.Timestamp("2024-02-29"), None], 1709164800.0),
        ("timestamp[ms, tz=UTC][pyarrow]", [pd.Timestamp("2024-02-29", tz="UTC"), None], 1709164800.0),
        ("duration[ms][pyarrow]", [pd.Timedelta(90, "s"), None], 90.0),
    ],
)
def test_times_of_arrow_in_pandas_have_a_profile(kind, values, seconds) -> None:
    found = describe_dataset("r", pd.DataFrame({"t": pd.array(values, dtype=kind)}))
    (column,) = found.profile["columns"]
    assert column["missing"] == 1 and column["min"] == seconds
