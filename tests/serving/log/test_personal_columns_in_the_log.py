"""Personal values and secrets are nowhere in the log in clear, neither in its journal nor in its files."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import visible
from test_answers_survive import answered

from mlops_workbench.core.errors import StorageError
from mlops_workbench.serving.desired import Desired
from mlops_workbench.serving.log.answers import Answered
from mlops_workbench.serving.log.predictions import PredictionLog, prediction_log, recover
from mlops_workbench.serving.log.protection import Protection, read_key
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.runtimes.estimator import Prediction

KEY = bytes(range(32))
TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
VALUES: dict[str, Any] = {
    "Email": np.array(["anna@example.org", None, "anna@example.org"], dtype=object),
    "birth_year": np.array([1972.0, np.nan, 1955.0]),
    "birthday": np.array(["1972-03-04", "NaT", "1955-01-01"], dtype="datetime64[ns]"),
    "password": np.array(["hunter2hunter2", "x", None], dtype=object),
    "note": np.array([TOKEN, TOKEN, TOKEN], dtype=object),
    "height": np.array([1.75, 1.5, 2.0]),
}
TYPES = {"birth_year": "double", "birthday": "datetime", "height": "double"}
SIGNATURE = Signature(tuple(InputColumn(name, TYPES.get(name, "string"), True, name) for name in VALUES), "table")  # type: ignore[arg-type]
CLEAR = [b"anna@", b"1972", b"hunter2", TOKEN.encode(), np.float64(1972).tobytes(), VALUES["birthday"][:1].tobytes()]


def personal(batch: Batch) -> Answered:
    return msgspec.structs.replace(
        answered("r", [1.0] * batch.rows), batch=batch, prediction=Prediction({"predict": np.arange(batch.rows * 1.0)})
    )


def table() -> Answered:
    return personal(Batch.of_columns(SIGNATURE, VALUES))


def desired(folder: Path, in_log: str = "hash", patterns: tuple[str, ...] = ("*email*", "birth*")) -> Desired:
    return Desired(
        name="e", model="m", version=1, folder="", generation=1, predictions=str(folder / "log"), feedback="",
        personal=list(patterns), personal_in_log=in_log, log_key=str(folder / "keys" / "log.key"),
    )  # fmt: skip


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("in_log", ["hash", "drop"])
def test_no_personal_value_and_no_secret_is_in_the_log(tmp_path: Path, in_log: str) -> None:
    log = prediction_log(desired(tmp_path, in_log))
    log.append(table())
    journal = contents(tmp_path / "log" / ".journal")
    assert np.float64(1.75).tobytes() in journal, "other values are there"
    assert [value for value in CLEAR if value in journal] == []
    log.close()
    (path,) = visible(tmp_path / "log")
    found = pq.ParquetFile(path).read()
    text = repr(found.to_pylist()).encode()
    assert [value for value in CLEAR[:4] if value in text] == []
    inputs = [name for name in found.column_names if name.startswith(("feature.", "hashed."))]
    hashed = ["hashed.Email", "hashed.birth_year", "hashed.birthday"] if in_log == "hash" else []
    assert inputs == [*hashed, "feature.note", "feature.height"]
    assert found["feature.note"].null_count == 3
    assert found["feature.height"].to_pylist() == [1.75, 1.5, 2.0]
    for name in hashed:
        first, second, third = found[name].to_pylist()
        assert second is None and len(first) == 32
        assert (first == third) is (name == "hashed.Email")


def test_booleans_that_may_be_missing_are_logged(tmp_path: Path) -> None:
    signature = Signature((InputColumn("is_new", "boolean", False, "is_new"),), "table")
    log = PredictionLog(tmp_path, seconds=3600, rows=100)
    log.append(personal(Batch.of_columns(signature, {"is_new": np.array([True, None, False], dtype=object)})))
    log.close()
    (path,) = visible(tmp_path)
    assert pq.ParquetFile(path).read()["feature.is_new"].to_pylist() == [True, None, False]


def test_an_array_keeps_its_other_columns(tmp_path: Path) -> None:
    signature = Signature(tuple(InputColumn(name, "double", True, name) for name in ("age", "birth", "size")), "matrix")
    matrix = np.array([[1.0, 1972.0, 3.0], [4.0, 1973.0, 6.0]])
    for in_log in ("hash", "drop"):
        log = prediction_log(desired(tmp_path / in_log, in_log))
        log.append(personal(Batch(signature, 2, None, matrix)))
        log.append(personal(Batch(signature, 2, None, matrix * 2)))
        log.close()
        (path,) = visible(tmp_path / in_log / "log")
        found = pq.ParquetFile(path).read()
        assert found["feature.age"].to_pylist() == [1.0, 4.0, 2.0, 8.0]
        assert found["feature.size"].to_pylist() == [3.0, 6.0, 6.0, 12.0]
        assert ("hashed.birth" in found.column_names) is (in_log == "hash")
        assert "feature.birth" not in found.column_names


def test_secrets_are_left_out_without_any_setting(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=3600, rows=100)
    log.append(table())
    assert b"hunter2" not in contents(tmp_path) and TOKEN.encode() not in contents(tmp_path)
    assert b"anna@" in contents(tmp_path)
    log.close()
    (path,) = visible(tmp_path)
    assert "feature.password" not in pq.read_schema(path).names


def test_a_journal_of_an_earlier_version_can_still_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its contexts end before the names of the hashed inputs.
    encode = PredictionLog.append
    log = PredictionLog(tmp_path, seconds=3600, rows=100)
    original = msgspec.msgpack.Encoder.encode

    class Old:
        def __init__(self, encoder: Any) -> None:
            self._encoder = encoder

        def encode(self, value: Any) -> bytes:
            plain = msgspec.msgpack.decode(original(self._encoder, value))
            if len(plain) == 2:
                plain[1] = plain[1][:-1]
            return msgspec.msgpack.encode(plain)

    log._journal._encoder._encoder = Old(log._journal._encoder._encoder)
    encode(log, answered("old", [1.0, 2.0]))
    log._journal.close()
    log._journal.release()
    assert recover(tmp_path, 100) == 2


@settings(max_examples=30)
@given(value=st.integers(-(2**50), 2**50) | st.floats(allow_nan=False) | st.text(max_size=9), other=st.text(max_size=9))
def test_equal_values_have_equal_hashes_only_in_one_column_with_one_key(value: Any, other: str) -> None:
    protection = Protection(["*"], "hash", KEY)
    values = np.array([value, value, other, None], dtype=object)
    first, second, third, missing = protection.hashes("a", values)
    assert first == second and missing is None
    assert (first == third) is (str(value) == other)
    assert protection.hashes("b", values)[0] != first
    assert Protection(["*"], "hash", KEY[::-1]).hashes("a", values)[0] != first
    if isinstance(value, int):
        assert protection.hashes("a", np.array([float(value)]))[0] == first


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.key"
    with ThreadPoolExecutor(8) as many:
        keys = set(many.map(lambda _: read_key(path), range(16)))
    assert len(keys) == 1 and read_key(path) in keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["log.key"]
    path.chmod(0o644)
    read_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_key_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(content)
    with pytest.raises(StorageError, match="is damaged"):
        read_key(path)


def test_other_patterns_need_a_restart(tmp_path: Path) -> None:
    plain = desired(tmp_path, patterns=())
    keys = {
        one.process_key
        for one in (plain, desired(tmp_path), desired(tmp_path, "drop"), desired(tmp_path, "hash", ("a",)))
    }
    assert len(keys) == 4
