"""Columns that hold secrets: their values are in no profile, schema, sample, table or snapshot of a setting."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from secret_values import PASSWORDS, TOKENS

from mlops_workbench.capture.run.tables import read_table
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.records import Artifact, Dataset
from mlops_workbench.core.secrets import MASK
from mlops_workbench.core.secrets.columns import is_secret_column
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.compare.diff import diff_data
from mlops_workbench.data.compare.source import DataSource
from mlops_workbench.data.describe import describe_dataset
from mlops_workbench.data.reference import input_example, reference_parquet, sample_fit_data
from mlops_workbench.data.schema import schema_json

ROWS = 200


def secrets(kind: str, count: int = ROWS) -> list[str]:
    r = random.Random(kind)
    return [(PASSWORDS | TOKENS)[kind](r) for _ in range(count)]


def users() -> pd.DataFrame:
    """A table with a column for each reason, and two harmless ones."""
    words = secrets("word with year")
    tokens = secrets("github personal")
    return pd.DataFrame(
        {
            "city": ["Oslo", "Lima"] * (ROWS // 2),
            "password": [None, *words[1:]],
            "pin": [int(pin) for pin in secrets("digits")],
            "remark": [token if i % 5 == 0 else "none" for i, token in enumerate(tokens)],
            "age": np.arange(ROWS, dtype=float),
        }
    )


HIDDEN = ["password", "pin", "remark"]


def leaked(text: str, frame: pd.DataFrame) -> list[str]:
    return [str(value) for name in HIDDEN for value in frame[name] if str(value) not in ("None", "none", "nan")
            and str(value) in text]  # fmt: skip


@pytest.mark.parametrize("form", ["pandas", "arrow", "polars", "records"])
def test_a_column_of_secrets_keeps_the_count_of_missing_values_only(form):
    frame = users()
    data = frame
    if form == "arrow":
        data = pa.Table.from_pandas(frame)
    elif form == "polars":
        data = pytest.importorskip("polars").from_pandas(frame)
    elif form == "records":
        data = frame.to_dict("records")
    found = describe_dataset("u", data, "users")
    profile = {column["name"]: column for column in found.profile["columns"]}
    for name in HIDDEN:
        assert profile[name].keys() == {"name", "dtype", "kind", "missing", "secret"}
    assert profile["password"]["missing"] == 1 and found.profile["missing"] == {"password": 1}
    assert profile["city"]["top"] and profile["age"]["quantiles"]
    assert not leaked(json.dumps(found.profile), frame)


def test_secrets_among_other_texts_are_masked_in_the_profile():
    url = "postgresql://me:" + PASSWORDS["word with year"](random.Random(1)) + "@db/x"
    frame = pd.DataFrame({"source": [url] + ["s3://bucket/a", "s3://bucket/b"] * 10})
    column = describe_dataset("u", frame, "d").profile["columns"][0]
    assert f"postgresql://me:{MASK}@db/x" in [value for value, _ in column["top"]]
    assert url not in json.dumps(column) and "values" not in column


@pytest.mark.parametrize(
    ("name", "values", "secret"),
    [
        ("user_password", ["a"], True),
        ("apiKey", [], True),
        ("pin", [1, 2, 3], True),
        (("login", "password"), ["a"], True),
        ("has_password", [True, False], False),
        ("password", [True, False, None], False),
        ("x", [*secrets("jwt", 2), *["a"] * 8], True),
        ("x", [*secrets("jwt", 1), *["a"] * 8], False),
        ("x", [None] * 50 + secrets("stripe live", 2), True),
        ("x", secrets("hex", 5), False),
        ("id", secrets("uuid", 5), False),
        ("passengers", ["12", "13"], False),
        ("tokens", [3, 4], False),
        ("key", ["a", "b"], False),
        ("pass_rate", [0.5], False),
        ("spin", ["up"], False),
        (0, [1.0, float("nan")], False),
    ],
)
def test_a_name_or_a_fifth_of_tokens_makes_a_column_of_secrets(name, values, secret):
    assert is_secret_column(name, values) is secret


def test_schema_sample_and_input_example_hold_no_secret():
    frame = users()
    found = describe_dataset("u", frame, "users")
    schema = schema_json(found.profile, found.rows)
    assert schema is not None and not leaked(schema.decode(), frame)
    assert json.loads(schema)["columns"]["password"]["required"]
    data = sample_fit_data(frame, frame["age"])
    assert data is not None
    sample = parquet.read_table(pa.BufferReader(reference_parquet(data, frame["age"].to_numpy())))
    assert sample.column_names == ["city", "age", "__target__", "__prediction__"]
    example = input_example(data)
    assert not leaked(example.decode(), frame)
    split = json.loads(example)["dataframe_split"]
    assert split["columns"] == list(frame) and split["data"][1] == ["Lima", MASK, 0, MASK, 1.0]
    assert split["data"][0][1] is None
    # A model that learns a secret has neither in its sample.
    target = sample_fit_data(frame[["age"]], frame["password"])
    assert target is not None
    assert parquet.read_table(pa.BufferReader(reference_parquet(target, frame["password"]))).column_names == ["age"]


def test_tables_show_no_secret():
    frame = users()
    table = read_table(frame)
    assert not leaked(table.to_json().decode(), frame)
    assert table.rows[0] == ["Oslo", None, MASK, MASK, 0.0]
    password = PASSWORDS["word"](random.Random(2))
    environment = read_table({"name": ["HOME", "DB_PASSWORD"], "value": ["/home/me", password]})
    assert environment.rows == [["HOME", "/home/me"], ["DB_PASSWORD", MASK]]
    assert read_table({"note": ["fine", f"password = '{password}'"]}).rows == [["fine"], [f"password = '{MASK}'"]]
    assert read_table({"word": ["password", "key"], "count": [3, 4]}).rows == [["password", 3], ["key", 4]]


def test_a_difference_of_data_shows_no_secret():
    frames = [users(), users().iloc[::-1].reset_index(drop=True)]
    sources = []
    for frame in frames:
        found = describe_dataset("u", frame, "users")
        sources.append(DataSource("l", "users", found.digest, found.covers, found.rows, found.profile, frame))
    changes = diff_data(*sources, MonitoringSettings()).columns
    assert {change.name for change in changes} == set(frames[0])
    assert not leaked(str(changes), frames[0])


def test_no_file_of_a_run_holds_a_value_of_a_column_of_secrets(session, records, workspace):
    frame = users()
    run = session.start_run("r")
    run.log_dataset(frame, "users")
    run.log_table(frame.head(50), "shown")
    run.end()
    session.close()
    files = [path for path in workspace.state.rglob("*") if path.is_file()]
    assert records.of(Dataset, "r") and len(files) > 2
    for path in files:
        assert not leaked(path.read_bytes().decode("utf-8", "replace"), frame), path


def test_a_setting_keeps_no_snapshot_of_secrets_and_a_request_keeps_it_in_the_workspace(
    session, records, workspace, capsys
):
    run = session.start_run("r")
    run.log_dataset(users(), "asked", snapshot=True)
    run.end()
    assert "the columns 'password', 'pin', 'remark' hold secrets" in "".join(capsys.readouterr())
    (workspace.root / "workbench.toml").write_text('[capture]\nsnapshot = "training"\n')
    own = Session(Workspace.open(workspace.root))
    run = own.start_run("s")
    run.log_dataset(users().iloc[:100], "set")
    run.log_dataset(users()[["city", "age"]], "plain")
    run.end()
    own.close()
    assert "no snapshot of 'set' was saved" in "".join(capsys.readouterr())
    kept = {data.name: bool(data.snapshot) for name in "rs" for data in records.of(Dataset, name)}
    assert kept == {"asked": True, "set": False, "plain": True}
    sent = [file.path for name in "rs" for file in records.of(Artifact, name) if file.kind == "table"]
    assert sent == ["data/plain.parquet"]
