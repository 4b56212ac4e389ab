"""gzip and deflate, in requests and answers of both protocols."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_folders import Case, Endpoint, tensors

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import BodyTooLarge, InvalidRequest
from mlops_workbench.serving.protocols.encoding import compress, decompress, response_coding

PATHS = ("/v2/models/eta/infer", "/invocations")


def bare(body: bytes) -> bytes:
    """deflate without zlib's frame, as some clients send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "two streams": ("gzip", lambda body: gzip.compress(body[:9], mtime=0) + gzip.compress(body[9:], mtime=0)),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "identity": ("identity", bytes),
}


@pytest.fixture(scope="module")
def linear(cases: Callable[[str], Case], serve: Callable[..., Endpoint]) -> tuple[Case, Endpoint]:
    settings = ServingSettings(log_seconds=0.2, max_body_mb=1)
    return cases("linear"), serve(cases("linear").folder, settings=settings)


def bodies(case: Case, rows: int) -> list[bytes]:
    frame = case.rows.iloc[[0] * rows]
    split = {"dataframe_split": json.loads(frame.to_json(orient="split"))}
    return [json.dumps(body).encode() for body in ({"inputs": tensors(frame)}, split)]


def post(endpoint: Endpoint, path: str, body: bytes, coding: str, accept: str = "identity") -> Any:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding, "Accept-Encoding": accept}
    return endpoint.client.post(path, content=body, headers=headers)


@pytest.mark.process
@pytest.mark.parametrize("name", PACKERS)
def test_compressed_requests_are_answered_as_others(linear: tuple[Case, Endpoint], name: str) -> None:
    case, endpoint = linear
    coding, pack = PACKERS[name]
    for path, body in zip(PATHS, bodies(case, 300), strict=True):
        found, want = post(endpoint, path, pack(body), coding), post(endpoint, path, body, "identity")
        assert found.status_code == 200, found.text
        for answer in (found, want):
            assert "content-encoding" not in answer.headers
        key = "outputs" if path != "/invocations" else "predictions"
        assert found.json()[key] == want.json()[key]


@pytest.mark.process
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_answers_are_compressed_for_clients_that_ask(linear: tuple[Case, Endpoint], coding: str) -> None:
    case, endpoint = linear
    for path, few, many in zip(PATHS, bodies(case, 1), bodies(case, 1000), strict=True):
        plain = post(endpoint, path, many, "identity")
        packed = post(endpoint, path, many, "identity", f"{coding}, br;q=0.5")
        assert packed.headers["content-encoding"] == coding
        assert (packed.headers["vary"], int(packed.headers["content-length"])) == (
            "Accept-Encoding",
            packed.num_bytes_downloaded,
        )
        assert packed.num_bytes_downloaded < len(plain.content) / 2
        key = "outputs" if path != "/invocations" else "predictions"
        assert packed.json()[key] == plain.json()[key]
        assert post(endpoint, path, few, "identity", coding).headers["content-encoding"] == coding
        # The default of HTTP libraries, for which a small answer would only become slower.
        assert "content-encoding" not in post(endpoint, path, few, "identity", "gzip, deflate").headers


@pytest.mark.process
def test_a_bomb_is_refused_before_it_is_decompressed(linear: tuple[Case, Endpoint]) -> None:
    bomb = gzip.compress(bytes(1 << 26), 9, mtime=0)
    assert len(bomb) < 1 << 20
    for path in PATHS:
        answer = post(linear[1], path, bomb, "gzip")
        assert answer.status_code == 413
        assert "larger than 1 MiB (serving.max_body_mb)" in answer.text


@pytest.mark.process
@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), 415),
        ("gzip", b"{}", 400),
        ("gzip", b"", 400),
        ("gzip", gzip.compress(b"{}" * 99, mtime=0)[:-9], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"x", 400),
        ("deflate", zlib.compress(b"{}") + b"x", 400),
        ("deflate", b"{}", 400),
    ],
    ids=["br", "twice", "json as gzip", "empty", "cut", "gzip and more", "deflate and more", "json as deflate"],
)
def test_other_and_damaged_codings_are_refused(
    linear: tuple[Case, Endpoint], coding: str, body: bytes, status: int
) -> None:
    for path, message in zip(PATHS, ("error", "message"), strict=True):
        answer = post(linear[1], path, body, coding)
        assert (answer.status_code, bool(answer.json()[message])) == (status, True)
        if status == 415:
            assert answer.headers["accept-encoding"] == "gzip, deflate"


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "deflate"]), st.integers(0, 3000))
def test_what_is_compressed_comes_back_within_its_limit(body: bytes, coding: str, most: int) -> None:
    packed = compress(body, coding)
    if len(body) <= most:
        assert decompress(packed, coding, most) == body
    else:
        with pytest.raises(BodyTooLarge):
            decompress(packed, coding, most)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_no_bytes_are_taken_for_a_compressed_body_that_they_are_not(body: bytes, coding: str) -> None:
    try:
        found = decompress(body, coding, 1 << 16)
    except InvalidRequest:
        return
    assert zlib.decompressobj(31 if coding == "gzip" else -15 if body[:1] != b"x" else 15).decompress(body) == found


@pytest.mark.parametrize(
    ("accept", "size", "coding"),
    [
        ("", 10**6, ""),
        ("gzip", 1, "gzip"),
        ("gzip", 0, ""),
        ("deflate", 1, "deflate"),
        ("x-gzip", 1, "gzip"),
        ("gzip, deflate, br", 100, ""),
        ("gzip, deflate, br", 10**6, "gzip"),
        ("gzip;q=0.2, deflate;q=0.8", 10**6, "deflate"),
        ("gzip;q=0, deflate", 10**6, "deflate"),
        ("gzip;q=0", 10**6, ""),
        ("*", 10**6, "gzip"),
        ("*;q=0", 10**6, ""),
        ("br", 10**6, ""),
        ("identity, gzip;q=0.5", 10**6, ""),
        ("gzip;q=high", 10**6, ""),
    ],
)
def test_the_coding_of_an_answer_is_one_that_the_client_prefers(accept: str, size: int, coding: str) -> None:
    assert response_coding(accept, size) == coding
