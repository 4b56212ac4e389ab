"""One corpus of requests, sent to a real ``mlflow models serve`` and to an endpoint; by hand (`make test-all`)."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from model_folders import Case, Endpoint

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
MODELS = ("linear", "boosted", "mixed", "forest", "text labels", "texts")

STRICT = "values are not converted in silence"
MISSING = "MLflow gives the model None where the training data had NaN, and so another answer than the model's own"
DATES = "MLflow cannot read the times of a CSV file"
FRAME = "MLflow gives the model a table, and a vectoriser takes the names of its columns for texts"
SERVER = "MLflow answers a wrong request with an error of the server"


@dataclass
class Sent:
    """A request of the corpus."""

    model: str
    name: str
    body: bytes
    kind: str | None = JSON

    @property
    def key(self) -> str:
        return f"{self.model}: {self.name}"


_CSV = ("csv", "csv charset", "csv of Windows", "csv with index", "csv with a byte order mark", "csv quoted")
#: Where the two differ: status of MLflow, status of an endpoint, and why; if both are 200, in the predictions.
DIFFERENT: dict[str, tuple[int, int, str]] = {
    **dict.fromkeys([f"mixed: {name}" for name in (*_CSV, "csv with blank lines")], (400, 200, DATES)),
    "mixed: inputs of columns": (200, 200, MISSING),
    "mixed: instances of records": (200, 200, MISSING),
    "mixed: a null text": (200, 200, MISSING),
    "mixed: a number in a text": (200, 400, STRICT),
    "mixed: a time with an offset": (400, 200, "the offset says which moment it is"),
    "mixed: a number in a time": (200, 400, "nothing says in which unit"),
    "mixed: a number in a boolean": (200, 400, STRICT),
    "mixed: a text in a boolean": (200, 400, STRICT),
    "mixed: a null boolean": (200, 400, "MLflow takes it for false"),
    "mixed: an optional column that is not there": (400, 200, "the signature says that it may be left out"),
    "linear: digits in a number": (200, 400, STRICT),
    "linear: a boolean in a number": (200, 400, STRICT),
    "linear: a fraction in an integer": (200, 400, "MLflow cuts it off"),
    "linear: deep": (500, 400, SERVER),
    "linear: no type": (500, 415, SERVER),
    "texts: inputs": (200, 200, FRAME),
    "texts: instances": (200, 200, FRAME),
    "texts: numbers": (200, 400, STRICT),
    "texts: a null": (200, 400, FRAME),
}


def parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return sink.getvalue()


def split(frame: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame.to_json(orient="split", date_format="iso", double_precision=15))
    return found


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found = split(frame)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


def good(model: str, frame: pd.DataFrame) -> Iterator[Sent]:
    """The same rows in all forms."""
    whole, rows = split(frame), records(frame)
    lists = {name: [row[name] for row in rows] for name in whole["columns"]}
    forms: dict[str, Any] = {
        "split": {"dataframe_split": whole},
        "split without index": {"dataframe_split": {"columns": whole["columns"], "data": whole["data"]}},
        "split in another order": {
            "dataframe_split": {"columns": whole["columns"][::-1], "data": [row[::-1] for row in whole["data"]]}
        },
        "split with another column": {
            "dataframe_split": {
                "columns": [*whole["columns"], "more"],
                "data": [[*row, 1] for row in whole["data"]],
            }
        },
        "records": {"dataframe_records": rows},
        "records in another order": {"dataframe_records": [dict(reversed(row.items())) for row in rows]},
        "one record": {"dataframe_records": rows[:1]},
        "inputs of columns": {"inputs": lists},
        "instances of records": {"instances": rows},
        "inputs of one row": {"inputs": {name: values[:1] for name, values in lists.items()}},
        "params of a model without": {"dataframe_records": rows, "params": {"alpha": 1}},
        "params that are none": {"dataframe_records": rows, "params": None},
        "params that are a list": {"dataframe_records": rows, "params": [1]},
        "an unknown field": {"dataframe_records": rows, "other": {"x": [1]}},
    }
    for name, body in forms.items():
        yield Sent(model, name, json.dumps(body).encode())
    yield Sent(model, "spaces", json.dumps(forms["split"], indent=4).encode())
    yield Sent(model, "escapes", json.dumps(forms["split"], ensure_ascii=True).encode())
    yield Sent(model, "raw letters", json.dumps(forms["split"], ensure_ascii=False).encode())
    yield Sent(model, "charset", json.dumps(forms["split"]).encode(), f"{JSON}; charset=utf-8")
    yield Sent(model, "CHARSET", json.dumps(forms["split"]).encode(), f"{JSON}; charset=UTF-8")
    yield Sent(model, "byte order mark", b"\xef\xbb\xbf" + json.dumps(forms["split"]).encode())
    yield Sent(model, "parquet", parquet(frame), PARQUET)
    yield Sent(model, "parquet in another order", parquet(frame.iloc[:, ::-1]), PARQUET)
    yield Sent(model, "parquet with another column", parquet(frame.assign(more=1)), PARQUET)


def csv_bodies(model: str, frame: pd.DataFrame) -> Iterator[Sent]:
    text = frame.to_csv(index=False)
    yield Sent(model, "csv", text.encode(), CSV)
    yield Sent(model, "csv charset", text.encode(), f"{CSV}; charset=utf-8")
    yield Sent(model, "csv of Windows", text.replace("\n", "\r\n").encode(), CSV)
    yield Sent(model, "csv with index", frame.to_csv().encode(), CSV)
    yield Sent(model, "csv with a byte order mark", b"\xef\xbb\xbf" + text.encode(), CSV)
    yield Sent(model, "csv with blank lines", text.replace("\n", "\n\n").encode(), CSV)
    yield Sent(model, "csv quoted", frame.to_csv(index=False, quoting=1).encode(), CSV)


def wrong(model: str, frame: pd.DataFrame) -> Iterator[Sent]:
    """What no model can answer."""
    rows, first = records(frame), frame.columns[0]
    whole = split(frame)
    bodies: dict[str, Any] = {
        "a list": rows,
        "a number": 3,
        "null": None,
        "a text": "x",
        "no form": {"data": rows},
        "an empty object": {},
        "two forms": {"dataframe_records": rows, "inputs": rows},
        "a missing column": {"dataframe_records": [{k: v for k, v in row.items() if k != "n"} for row in rows]},
        "a misspelt column": {
            "dataframe_records": [{("N" if k == "n" else k): v for k, v in row.items()} for row in rows]
        },
        "text in a number": {"dataframe_records": [{**row, first: "many"} for row in rows]},
        "digits in a number": {"dataframe_records": [{**row, first: "1.5"} for row in rows]},
        "an object in a number": {"dataframe_records": [{**row, first: {"x": 1}} for row in rows]},
        "a list in a number": {"dataframe_records": [{**row, first: [1, 2]} for row in rows]},
        "a boolean in a number": {"dataframe_records": [{**row, first: True} for row in rows]},
        "a fraction in an integer": {"dataframe_records": [{**row, "n": 1.5} for row in rows]},
        "a whole float in an integer": {"dataframe_records": [{**row, "n": 3.0} for row in rows]},
        "a null in an integer": {"dataframe_records": [{**row, "n": None} for row in rows]},
        "a huge integer": {"dataframe_records": [{**row, "n": 2**70} for row in rows]},
        "no rows": {"dataframe_records": []},
        "no rows in a split": {"dataframe_split": {"columns": whole["columns"], "data": []}},
        "a split that is a list": {"dataframe_split": whole["data"]},
        "a split without data": {"dataframe_split": {"columns": whole["columns"]}},
        "a split with more": {"dataframe_split": {**whole, "dtype": "float"}},
        "a split without columns": {"dataframe_split": {"data": whole["data"]}},
        "a ragged split": {"dataframe_split": {"columns": whole["columns"], "data": [whole["data"][0], [1]]}},
        "too few columns": {"dataframe_split": {"columns": whole["columns"][:-1], "data": whole["data"]}},
        "a column twice": {"dataframe_split": {"columns": ["a", "a", "n"], "data": whole["data"]}},
        "records that are lists": {"dataframe_records": whole["data"]},
        "records that are an object": {"dataframe_records": {name: [1, 2] for name in whole["columns"]}},
        "records that are a number": {"dataframe_records": 3},
        "a record that is null": {"dataframe_records": [None, *rows]},
        "inputs without names": {"inputs": whole["data"]},
        "instances without names": {"instances": whole["data"]},
        "inputs that are null": {"inputs": None},
        "inputs that are a number": {"inputs": 3},
        "inputs that are a text": {"inputs": "x"},
        "columns of two lengths": {"inputs": {"a": [1.0], "b": [1.0, 2.0], "n": [1]}},
        "columns that are numbers": {"inputs": {"a": 1.0, "b": 2.0, "n": 3}},
    }
    for name, body in bodies.items():
        yield Sent(model, name, json.dumps(body).encode())
    text = json.dumps({"dataframe_records": rows}).encode()
    yield Sent(model, "nothing", b"")
    yield Sent(model, "half of it", text[: len(text) // 2])
    yield Sent(model, "two of them", text * 2)
    yield Sent(model, "a comma too many", text.replace(b"}]", b"},]"))
    yield Sent(model, "single quotes", text.replace(b'"', b"'"))
    yield Sent(model, "no UTF-8", text.replace(b'"a"', b'"\xff"'))
    yield Sent(model, "deep", b"[" * 5000 + b"]" * 5000)
    yield Sent(model, "infinity", text.replace(b"1.5", b"Infinity"))
    yield Sent(model, "another charset", text, f"{JSON}; charset=latin-1")
    yield Sent(model, "another parameter", text, f"{JSON}; version=2")
    yield Sent(model, "another type", text, "text/plain")
    yield Sent(model, "a form", b"a=1&b=2&n=3", "application/x-www-form-urlencoded")
    yield Sent(model, "octets", text, "application/octet-stream")
    yield Sent(model, "no type", text, None)
    yield Sent(model, "csv of nothing", b"", CSV)
    yield Sent(model, "csv of a header", b"a,b,n\n", CSV)
    yield Sent(model, "csv of other columns", b"x,y\n1,2\n", CSV)
    yield Sent(model, "csv of a text", b"a,b,n\nmany,1,2\n", CSV)
    yield Sent(model, "csv of a fraction", b"a,b,n\n1,1,2.5\n", CSV)
    yield Sent(model, "csv of too many values", b"a,b,n\n1,1,2\n1,2,3,4\n", CSV)
    yield Sent(model, "csv of too few values", b"a,b,n\n1,1\n", CSV)
    yield Sent(model, "csv of no UTF-8", b"a,b,n\n1,\xff,2\n", CSV)
    yield Sent(model, "csv with an open quote", b'a,b,n\n1,"1,2\n', CSV)
    yield Sent(model, "json as csv", text, CSV)
    yield Sent(model, "csv as json", b"a,b,n\n1,1,2\n", JSON)
    yield Sent(model, "parquet of nothing", b"", PARQUET)
    yield Sent(model, "json as parquet", text, PARQUET)
    yield Sent(model, "half of a parquet", parquet(frame)[:-40], PARQUET)
    yield Sent(model, "parquet of other columns", parquet(frame.rename(columns={"n": "m"})), PARQUET)
    yield Sent(model, "parquet of texts", parquet(frame.astype({"a": str})), PARQUET)
    yield Sent(model, "parquet of fractions", parquet(frame.assign(n=1.5)), PARQUET)
    yield Sent(model, "parquet of no rows", parquet(frame.iloc[:0]), PARQUET)


def special(model: str, frame: pd.DataFrame) -> Iterator[Sent]:
    """Requests that only some models take."""
    rows = records(frame)
    if model == "boosted":
        yield Sent(model, "NaN", json.dumps({"dataframe_records": [{**rows[0], "a": math.nan}]}).encode())
        yield Sent(model, "null", json.dumps({"dataframe_records": [{**rows[0], "a": None}]}).encode())
        yield Sent(
            model, "a missing key", json.dumps({"dataframe_records": [rows[0], {**rows[1], "a": None}]}).encode()
        )
        yield Sent(model, "csv of missing values", b"a,b,n\n,1,2\nNA,1,2\nnan,1,2\nnull,1,2\n", CSV)
        yield Sent(model, "parquet of missing values", parquet(frame.assign(a=math.nan)), PARQUET)
    if model == "linear":
        yield Sent(
            model, "NaN for a model without", json.dumps({"dataframe_records": [{**rows[0], "a": math.nan}]}).encode()
        )
        yield Sent(
            model, "null for a model without", json.dumps({"dataframe_records": [{**rows[0], "a": None}]}).encode()
        )
        yield Sent(model, "integers in floats", json.dumps({"dataframe_records": [{"a": 1, "b": 2, "n": 3}]}).encode())
        yield Sent(
            model, "large numbers", json.dumps({"dataframe_records": [{"a": 1e300, "b": -1e300, "n": 3}]}).encode()
        )
        yield Sent(
            model, "exact integers", json.dumps({"dataframe_records": [{"a": 1, "b": 2, "n": 2**53 + 1}]}).encode()
        )
    if model == "mixed":
        for name, change in {
            "a category that is not known": {"träger": "??"},
            "an empty text": {"träger": ""},
            "a null text": {"träger": None},
            "a number in a text": {"träger": 3},
            "a time with an offset": {"day": "2013-01-01T02:00:00+02:00"},
            "a date": {"day": "2013-01-02"},
            "no time": {"day": "soon"},
            "a number in a time": {"day": 1357000000000},
            "a number in a boolean": {"night": 1},
            "a text in a boolean": {"night": "true"},
            "a null boolean": {"night": None},
        }.items():
            yield Sent(model, name, json.dumps({"dataframe_records": [{**rows[0], **change}]}).encode())
        without = [{key: value for key, value in row.items() if key != "dep delay"} for row in rows]
        yield Sent(model, "an optional column that is not there", json.dumps({"dataframe_records": without}).encode())


def arrays(model: str, matrix: list[list[float]]) -> Iterator[Sent]:
    """Bodies of a model that was fitted on an array."""
    bodies: dict[str, Any] = {
        "inputs": {"inputs": matrix},
        "instances": {"instances": matrix},
        "integers": {"inputs": [[1, 2, 3]]},
        "one row": {"inputs": matrix[:1]},
        "a flat list": {"inputs": matrix[0]},
        "too few columns": {"inputs": [[1.0, 2.0]]},
        "too many columns": {"inputs": [[1.0, 2.0, 3.0, 4.0]]},
        "ragged": {"inputs": [[1.0, 2.0, 3.0], [1.0]]},
        "texts": {"inputs": [["a", "b", "c"]]},
        "an empty list": {"inputs": []},
        "an empty row": {"inputs": [[]]},
        "nested deeper": {"inputs": [[[1.0, 2.0, 3.0]]]},
        "params": {"inputs": matrix, "params": {"alpha": 1}},
    }
    for name, body in bodies.items():
        yield Sent(model, name, json.dumps(body).encode())


@pytest.fixture(scope="module")
def corpus(cases: Cases) -> list[Sent]:
    found: list[Sent] = []
    for model in ("linear", "boosted", "mixed", "text labels"):
        frame = cases(model).rows.head(4).reset_index(drop=True)
        found += [*good(model, frame), *csv_bodies(model, frame), *special(model, frame)]
    found += wrong("linear", cases("linear").rows.head(2).assign(a=[1.5, 2.5]).reset_index(drop=True))
    found += arrays("forest", cases("forest").rows[:3].tolist())
    found += [
        Sent("texts", "inputs", json.dumps({"inputs": ["good flight", "bad delay"]}).encode()),
        Sent("texts", "instances", json.dumps({"instances": ["good flight"]}).encode()),
        Sent("texts", "numbers", json.dumps({"inputs": [1, 2]}).encode()),
        Sent("texts", "a null", json.dumps({"inputs": ["good", None]}).encode()),
    ]
    assert len(found) >= 120
    assert len({one.key for one in found}) == len(found)
    return found


@pytest.fixture(scope="module")
def peers(cases: Cases) -> Iterator[dict[str, str]]:
    """Addresses of ``mlflow models serve`` by model."""
    running: list[subprocess.Popen[bytes]] = []
    urls: dict[str, str] = {}
    try:
        for model in MODELS:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            mlflow = Path(sys.executable).with_name("mlflow")
            command = [mlflow, "models", "serve", "-m", cases(model).folder, "-p", str(port), "--env-manager", "local"]
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path}
            running.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            urls[model] = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 240
        for url in urls.values():
            while not _answers(url):
                assert time.monotonic() < deadline, "mlflow models serve did not start"
                time.sleep(0.5)
        yield urls
    finally:
        for process in running:
            # The command starts the server as a process of its own, in this group.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, sent: Sent) -> httpx.Response:
    headers = {} if sent.kind is None else {"Content-Type": sent.kind}
    return httpx.post(f"{url}/invocations", content=sent.body, headers=headers, trust_env=False, timeout=60)


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, float) and isinstance(theirs, float):
        return mine == pytest.approx(theirs, rel=1e-12, abs=1e-12)
    return bool(mine == theirs)


def test_an_endpoint_answers_what_mlflow_answers(
    cases: Cases, serve: Serve, peers: dict[str, str], corpus: list[Sent]
) -> None:
    mine = {model: serve(cases(model).folder).url for model in MODELS}
    wrong: list[str] = []
    seen: set[str] = set()
    for sent in corpus:
        found, peer = ask(mine[sent.model], sent), ask(peers[sent.model], sent)
        statuses = (peer.status_code, found.status_code)
        assert found.status_code < 500, (sent.key, found.text)
        if sent.key in DIFFERENT:
            seen.add(sent.key)
            are_same = statuses == (200, 200) and same(found.json(), peer.json())
            if statuses != DIFFERENT[sent.key][:2] or are_same:
                wrong.append(f"{sent.key}: {statuses}, listed as {DIFFERENT[sent.key]}")
        elif statuses[0] // 100 != statuses[1] // 100:
            wrong.append(f"{sent.key}: {statuses} {peer.text[:200]!r} {found.text[:200]!r}")
        elif statuses == (200, 200) and not same(found.json()["predictions"], json.loads(peer.text)["predictions"]):
            wrong.append(f"{sent.key}: {peer.text[:200]} {found.text[:200]}")
    assert not wrong, "\n".join(wrong)
    assert seen == DIFFERENT.keys()
