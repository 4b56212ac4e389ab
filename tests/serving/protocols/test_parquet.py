"""Parquet bodies of ``/invocations``, beside MLflow's own answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_folders import Case, Endpoint
from pyarrow import parquet

from mlops_workbench.core.settings import ServingSettings

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]
KIND = "application/vnd.apache.parquet"


def written(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    if isinstance(table, pd.DataFrame):
        table.to_parquet(sink, **options)
    else:
        parquet.write_table(table, sink, **options)
    return sink.getvalue()


def send(endpoint: Endpoint, body: bytes, kind: str = KIND) -> httpx.Response:
    return endpoint.client.post("/invocations", content=body, headers={"Content-Type": kind})


@pytest.fixture(scope="module")
def mixed(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("mixed"), serve(cases("mixed").folder)


@pytest.mark.parametrize("name", ["linear", "boosted", "mixed", "text labels"])
def test_a_parquet_file_of_pandas_gives_what_mlflow_gives(cases: Cases, serve: Serve, name: str) -> None:
    import mlflow
    from mlflow.pyfunc import scoring_server

    case = cases(name)
    endpoint = serve(case.folder)
    model = mlflow.pyfunc.load_model(str(case.folder))
    for options in ({}, {"index": True}, {"row_group_size": 7, "compression": "gzip"}, {"version": "1.0"}):
        body = written(case.rows.iloc[:, ::-1], **options)
        want = scoring_server.invocations(body, KIND, model, model.metadata.get_input_schema())
        assert want.status == 200, want.response
        answer = send(endpoint, body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == json.loads(want.response)


def test_every_type_of_arrow_that_fits_a_column_is_taken(mixed: tuple[Case, Endpoint]) -> None:
    case, endpoint = mixed
    rows = case.rows.assign(extra="ignored")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    want = case.estimator.predict(case.rows)
    changes: dict[str, list[pa.DataType]] = {
        "dep delay": [pa.float64()],
        "distance": [pa.int32(), pa.uint16(), pa.float64(), pa.float32()],
        "träger": [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
        "day": [pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Tokyo"), pa.date32(), pa.date64()],
    }
    for name, kinds in changes.items():
        for kind in kinds:
            at = table.column_names.index(name)
            given = table.set_column(at, name, table[name].cast(kind))
            answer = send(endpoint, written(given))
            assert answer.status_code == 200, (name, kind, answer.text)
            np.testing.assert_allclose(answer.json()["predictions"], want, rtol=1e-13)


def test_integers_and_booleans_with_nulls_are_missing_values(cases: Cases, serve: Serve) -> None:
    case = cases("boosted")
    endpoint = serve(case.folder)
    rows = pa.table({"a": pa.array([1, None, 3]), "b": pa.array([0.5, 1, 2]), "n": pa.array([1, 2, 3], pa.int8())})
    want = case.estimator.predict(pd.DataFrame({"a": [1, np.nan, 3], "b": [0.5, 1, 2], "n": [1, 2, 3]}))
    np.testing.assert_allclose(send(endpoint, written(rows)).json()["predictions"], want)


def of(**changes: Any) -> pa.Table:
    columns = {
        "dep delay": pa.array([1.5, None]),
        "distance": pa.array([100, 200]),
        "träger": pa.array(["AA", None]),
        "night": pa.array([True, False]),
        "day": pa.array(pd.to_datetime(["2013-01-01", "2013-01-02"])),
    }
    return pa.table({name: value for name, value in {**columns, **changes}.items() if value is not None})


WRONG: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "not a valid Parquet file"),
    "other bytes": (b"PAR1" * 9, 400, "not a valid Parquet file"),
    "cut": (written(of())[:-5], 400, "not a valid Parquet file"),
    "missing column": (written(of(distance=None)), 400, "missing input column 'distance'"),
    "twice": (
        written(pa.Table.from_arrays([*of().columns, pa.array([1, 2])], names=[*of().column_names, "distance"])),
        400,
        "names column 'distance' twice",
    ),
    "no rows": (written(of().slice(0, 0)), 400, "the request has no rows"),
    "text for number": (
        written(of(distance=pa.array(["1", "2"]))),
        400,
        "column 'distance', row 0: expected an integer (long), got the text '1'",
    ),
    "number for text": (written(of(**{"träger": pa.array([1, 2])})), 400, "column 'träger', row 0: expected text"),
    "number for time": (written(of(day=pa.array([1, 2]))), 400, "column 'day', row 0: expected a time"),
    "fraction": (written(of(distance=pa.array([1.0, 2.5]))), 400, "column 'distance', row 1: expected an integer"),
    "null integer": (written(of(distance=pa.array([1, None]))), 400, "column 'distance', row 1"),
    "not exact": (written(of(distance=pa.array([1.0, 2.0**60]))), 400, "column 'distance', row 1"),
    "unsigned": (written(of(distance=pa.array([1, 2**63], pa.uint64()))), 400, "column 'distance', row 1"),
    "infinity": (written(of(**{"dep delay": pa.array([1.0, float("inf")])})), 400, "column 'dep delay', row 1"),
    "boolean": (written(of(distance=pa.array([True, False]))), 400, "column 'distance', row 0"),
    "decimal": (written(of(distance=pa.array([1, 2], pa.decimal128(5, 2)))), 400, "Parquet values of type decimal128"),
    "nested": (written(of(distance=pa.array([[1], [2]]))), 400, "column 'distance'"),
    "structure": (written(of(distance=pa.array([{"a": 1}, {"a": 2}]))), 400, "column 'distance'"),
    "out of range": (
        written(of(day=pa.array([0, -(10**12)], pa.timestamp("s")))),
        400,
        "column 'day'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_parquet_file_is_refused(mixed: tuple[Case, Endpoint], name: str) -> None:
    body, status, message = WRONG[name]
    answer = send(mixed[1], body)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["message"]


def test_a_small_file_of_many_or_long_values_is_refused(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("mixed").folder, settings=ServingSettings(max_body_mb=1))
    rows = 30_000
    many = of().take(pa.array([0] * 1_000_001))
    long = of().take(pa.array([0] * rows)).set_column(2, "träger", pa.array(["x" * 1000] * rows))
    for table, message in (
        (many, "1000001 rows; at most 1000000"),
        (long, "larger than 1 MiB"),
        (of().take(pa.array([0] * 60_000)), "larger than 1 MiB"),
    ):
        body = written(table, compression="zstd")
        assert len(body) < 1 << 20
        answer = send(endpoint, body)
        assert (answer.status_code, message in answer.text) == (413, True), answer.text[:300]


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_damage_of_a_parquet_file_makes_an_endpoint_fail(mixed: tuple[Case, Endpoint], data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([written(of()), written(of(), compression="none")])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answer = send(mixed[1], bytes(body))
    assert answer.status_code in (200, 400, 413), answer.text
