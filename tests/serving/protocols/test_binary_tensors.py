"""Binary tensors of the Open Inference Protocol, in requests and answers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_folders import Case, Endpoint, tensors

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]
HEADER = "Inference-Header-Content-Length"
TYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BOOL": "?"} | {
    f"{sign}INT{bits}": f"<{'u' if sign else 'i'}{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


@pytest.fixture(scope="module")
def linear(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("linear"), serve(cases("linear").folder)


@pytest.fixture(scope="module")
def mixed(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("mixed"), serve(cases("mixed").folder)


def raw(values: Any, datatype: str) -> bytes:
    """Values as another program writes them."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in (str(value).encode() for value in values))
    return np.asarray(values).astype(TYPES[datatype]).tobytes()


def packed(inputs: list[dict[str, Any]], binary: set[str], **body: Any) -> tuple[bytes, dict[str, str]]:
    """A body in which the named inputs are raw, and its headers."""
    heads, parts = [], []
    for one in inputs:
        if one["name"] in binary:
            parts.append(raw(np.ravel(one["data"]), one["datatype"]))
            heads.append({k: v for k, v in one.items() if k != "data"})
            heads[-1]["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            heads.append(one)
    head = json.dumps({"inputs": heads, **body}).encode()
    return head + b"".join(parts), {HEADER: str(len(head))}


def ask(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return endpoint.client.post("/v2/models/eta/infer", content=body, headers=headers)


def outputs(answer: httpx.Response) -> dict[str, np.ndarray]:
    """Outputs of an answer of JSON and raw tensors, read as the specification says."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(HEADER, len(answer.content)))
    head, rest = json.loads(answer.content[:length]), answer.content[length:]
    found = {}
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(one["data"])
        else:
            part, rest = rest[:size], rest[size:]
            if one["datatype"] == "BYTES":
                texts = []
                while part:
                    (count,) = struct.unpack_from("<I", part)
                    texts.append(part[4 : 4 + count].decode())
                    part = part[4 + count :]
                values = np.array(texts)
            else:
                values = np.frombuffer(part, TYPES[one["datatype"]])
        found[one["name"]] = values.reshape(one["shape"])
    assert not rest
    return found


def columns(case: Case, rows: int = 20) -> list[dict[str, Any]]:
    """Tensors without missing values, which only floats have in raw form."""
    frame = case.rows.head(rows)
    return tensors(frame.fillna({"träger": "AA"}) if "träger" in frame else frame)


@pytest.mark.parametrize("names", [{"dep delay"}, {"träger", "night"}, {"day"}, None])
def test_raw_and_json_inputs_mix_and_give_what_json_gives(mixed: tuple[Case, Endpoint], names: set[str] | None) -> None:
    case, endpoint = mixed
    inputs = columns(case)
    want = outputs(endpoint.v2({"inputs": inputs}))["predict"]
    body, headers = packed(
        [{**one, "data": [np.nan if v is None else v for v in one["data"]]} for one in inputs]
        if not names
        else [
            {**one, "data": [np.nan if v is None else v for v in one["data"]]} if one["name"] in names else one
            for one in inputs
        ],
        names or {one["name"] for one in inputs},
    )
    np.testing.assert_array_equal(outputs(ask(endpoint, body, headers))["predict"], want)


@pytest.mark.parametrize("datatype", sorted(TYPES.keys() - {"BOOL"}))
def test_numbers_of_every_width_are_taken(linear: tuple[Case, Endpoint], datatype: str) -> None:
    case, endpoint = linear
    values = np.array([[1, 0, 2], [3, 4, 5], [100, 7, 8]])
    want = case.estimator.predict(values)
    matrix = {"name": "X", "datatype": datatype, "shape": [3, 3], "data": values}
    apart = [
        {"name": name, "datatype": datatype, "shape": shape, "data": values[:, at]}
        for at, (name, shape) in enumerate([("a", [3]), ("b", [3, 1]), ("n", [3])])
    ]
    for inputs in ([matrix], apart):
        body, headers = packed(inputs, {one["name"] for one in inputs})
        np.testing.assert_allclose(outputs(ask(endpoint, body, headers))["predict"], want, rtol=1e-13)


def test_outputs_are_raw_where_they_are_asked_to_be(cases: Cases, serve: Serve) -> None:
    case = cases("text labels")
    endpoint = serve(case.folder)
    inputs = columns(case, 3)
    labels, probabilities = case.estimator.predict(case.rows.head(3)), case.estimator.predict_proba(case.rows.head(3))
    every = {"predict", "predict_proba"}
    for body, expected in (
        ({"parameters": {"binary_data_output": True}}, every),
        (
            {"outputs": [{"name": "predict", "parameters": {"binary_data": True}}, {"name": "predict_proba"}]},
            {"predict"},
        ),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "predict", "parameters": {"binary_data": False}}, {"name": "predict_proba"}],
            },
            {"predict_proba"},
        ),
        ({}, set()),
    ):
        answer = endpoint.v2({"inputs": inputs, **body})
        assert (
            (answer.headers["content-type"] == "application/octet-stream")
            == (HEADER in answer.headers)
            == bool(expected)
        )
        head = json.loads(answer.content[: int(answer.headers.get(HEADER, len(answer.content)))])
        assert {one["name"] for one in head["outputs"] if "parameters" in one} == expected
        assert all(("data" in one) != (one["name"] in expected) for one in head["outputs"])
        found = outputs(answer)
        np.testing.assert_array_equal(found["predict"], labels)
        np.testing.assert_array_equal(found["predict_proba"], probabilities)


def change(**values: Any) -> dict[str, Any]:
    return {"name": "a", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}, **values}


B, N = (
    {"name": name, "datatype": kind, "shape": [2], "data": [1, 2]} for name, kind in (("b", "FP64"), ("n", "INT64"))
)
WRONG: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "size": (change(shape=[3]), bytes(16), "3 values of FP64 are 24 bytes, but binary_data_size is 16"),
    "no size": (change(parameters={"binary_data_size": -1}), b"", "must be a number of bytes"),
    "text size": (change(parameters={"binary_data_size": "16"}), b"", "must be a number of bytes"),
    "too few": (change(), bytes(15), "binary_data_size is 16, but only 15 bytes are left"),
    "too many": (change(), bytes(17), "17 bytes follow the JSON, but the binary_data_size of the inputs sum up to 16"),
    "both": (change(data=[1, 2]), bytes(16), "either data or binary_data_size"),
    "shape": (change(shape=[2**62]), bytes(16), "binary_data_size is 16"),
    "texts of a huge shape": (change(datatype="BYTES", shape=[2**40]), bytes(16), "need more than the 16 bytes"),
    "text too long": (change(datatype="BYTES", shape=[1]), b"\xff" * 16, "element 0 of BYTES is longer"),
    "text too short": (change(datatype="BYTES", shape=[1]), bytes(16), "12 bytes follow the 1 values"),
    "no UTF-8": (
        change(datatype="BYTES", shape=[1]),
        b"\x0c\0\0\0" + b"\xff" * 12,
        "element 0 of BYTES is not valid UTF-8",
    ),
    "text for number": (change(datatype="BYTES"), b"\x04\0\0\0abcd" * 2, "expected datatype FP64 (double), got BYTES"),
    "infinity": (
        change(),
        struct.pack("<2d", 1, float("inf")),
        "column 'a', row 1: expected a number within the range",
    ),
    "NaN": (
        change(name="n"),
        struct.pack("<2d", 1, float("nan")),
        "column 'n', row 1: expected an integer (long), got null",
    ),
    "fraction": (change(name="n"), struct.pack("<2d", 1, 2.5), "row 1: expected an integer (long), got the number 2.5"),
    "not exact": (change(name="n"), struct.pack("<2d", 1, 2.0**60), "column 'n', row 1: expected an integer"),
    "too large": (change(name="n", datatype="UINT64"), struct.pack("<2Q", 1, 2**63), "column 'n', row 1"),
    "boolean": (change(name="n", datatype="BOOL", shape=[16]), bytes(16), "expected datatype INT64 (long), got BOOL"),
    "no boolean": (change(datatype="BOOL", shape=[16]), b"\2" * 16, "element 0 is no byte 0 or 1"),
    "parameters": (change(parameters=[]), b"", "parameters must be an object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_bytes_are_refused_with_what_and_where(linear: tuple[Case, Endpoint], name: str) -> None:
    tensor, content, message = WRONG[name]
    inputs = [tensor, *(one for one in (B, N) if one["name"] != tensor["name"])]
    if tensor["name"] != "a":
        inputs.append({**B, "name": "a"})
    head = json.dumps({"inputs": inputs}).encode()
    answer = ask(linear[1], head + content, {HEADER: str(len(head))})
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]


@pytest.mark.parametrize("length", ["", "-1", "1e3", "x", "9" * 30, "100000", "²", "0"])
def test_a_wrong_length_of_the_json_is_refused(linear: tuple[Case, Endpoint], length: str) -> None:
    body, headers = packed(columns(linear[0]), {"a"})
    answer = ask(linear[1], body, {HEADER: length.encode()})  # type: ignore[dict-item]
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    without = ask(linear[1], body[: int(headers[HEADER])], {})
    assert "binary data needs the header Inference-Header-Content-Length" in without.json()["error"]


def test_requests_of_triton_for_another_answer_are_refused(linear: tuple[Case, Endpoint]) -> None:
    inputs = columns(linear[0])
    for parameters in ({"classification": 3}, {"shared_memory_region": "x"}, {"binary_data": 1}, [1]):
        answer = linear[1].v2({"inputs": inputs, "outputs": [{"name": "predict", "parameters": parameters}]})
        assert answer.status_code == 400, parameters


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_bytes_behind_the_json_make_an_endpoint_fail(mixed: tuple[Case, Endpoint], data: st.DataObject) -> None:
    body, headers = packed(
        [{**one, "data": [0 if v is None else v for v in one["data"]]} for one in columns(mixed[0], 2)],
        set(data.draw(st.sets(st.sampled_from(["dep delay", "distance", "träger", "night", "day"])))),
    )
    spoiled = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    length = data.draw(st.sampled_from([int(headers[HEADER]), 0, len(spoiled)]) | st.integers(0, len(spoiled)))
    answer = ask(mixed[1], bytes(spoiled), {HEADER: str(length)})
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or isinstance(answer.json()["error"], str)
