"""HTTP as clients speak it, in one piece and in many, to an endpoint's socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_folders import Endpoint, tensors

from mlops_workbench.serving.workers.connection import Connection

HEAD = b"POST /v2/models/eta/infer HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def linear(cases, serve) -> tuple[Endpoint, bytes]:
    case = cases("linear")
    return serve(case.folder), json.dumps({"inputs": tensors(case.rows[:2])}).encode()


def ask(endpoint: Endpoint, parts: Sequence[bytes], *, answers: int = 1, pause: float = 0) -> bytes:
    """What the endpoint sends until it has sent that many status lines and their bodies, or closed the connection."""
    place = urlsplit(endpoint.url)
    with socket.create_connection((place.hostname, place.port or 80), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            # With a pause, the endpoint reads one part after the other.
            time.sleep(pause)
        found = b""
        while not (found.count(b"HTTP/1.1 ") - found.count(b" 100 Continue") >= answers and found.endswith(b"}")):
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
        return found


def until_the_end(endpoint: Endpoint, parts: Sequence[bytes]) -> bytes:
    """What the endpoint sends until it closes the connection."""
    return ask(endpoint, parts, answers=1 << 30)


def test_requests_come_whole_in_pieces_and_one_behind_the_other(linear) -> None:
    endpoint, body = linear
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert ask(endpoint, [whole]).startswith(b"HTTP/1.1 200")
    assert ask(endpoint, [whole * 5], answers=5).count(b'"model_version":"1"') == 5
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    assert ask(endpoint, [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"]).startswith(
        b"HTTP/1.1 200"
    )
    letters = [whole[at : at + 1] for at in range(len(whole))]
    assert ask(endpoint, letters).startswith(b"HTTP/1.1 200")
    waits = [HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body), body]
    assert b"100 Continue" in ask(endpoint, waits)


def test_the_end_of_a_connection_is_what_client_and_protocol_ask_for(linear) -> None:
    endpoint, body = linear
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    asked = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = until_the_end(endpoint, [whole + asked + whole])
    # What comes behind a request that ends the connection is not answered.
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.lower().count(b"connection: close") == 1
    # One that says nothing about its end is kept for a while, and then ended.
    assert until_the_end(endpoint, [whole, whole]).count(b"HTTP/1.1 200") == 2
    old = until_the_end(endpoint, [asked.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Connection: close\r\n", b"")])
    assert old.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in old.lower()


def test_an_answer_to_head_has_headers_only(linear) -> None:
    endpoint, _ = linear
    asked = b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, _, rest = until_the_end(endpoint, [asked]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"date: " in head
    assert not rest


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_the_offer_of_another_protocol_is_ignored(linear, protocol: bytes) -> None:
    # As the client in Java's standard library does with each first request.
    endpoint, body = linear
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAEAAEAA\r\n" % protocol
    whole = HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert ask(endpoint, [whole]).startswith(b"HTTP/1.1 200")
    # Clients may send each line by itself, and the network may part a word.
    assert ask(endpoint, whole.splitlines(keepends=True), pause=0.02).startswith(b"HTTP/1.1 200")
    for place in (whole.index(b"Upgrade: ") - 1, whole.index(b"Upgrade: ") + 3, whole.index(b"\r\n\r\n") + 3):
        assert ask(endpoint, [whole[:place], whole[place:]], pause=0.02).startswith(b"HTTP/1.1 200")
    ready = b"GET /v2/models/eta HTTP/1.1\r\nHost: localhost\r\n" + offer + b"\r\n"
    assert b'"name":"eta"' in ask(endpoint, [ready])


@given(st.lists(st.integers(0, 400), max_size=12), st.sampled_from([b"Upgrade", b"UPGRADE", b"X-Upgrade", b"Upgrad"]))
def test_nothing_but_the_name_of_an_offer_is_changed_wherever_the_network_parts_a_request(
    places: list[int], name: bytes
) -> None:
    body = b"a,b\r\nupgrade: x,2\r\n\r\nupgrade: y,3\r\n"
    request = HEAD + b"Accept: text/csv\r\n%s: h2c\r\nTE: x\r\n\r\n%s" % (name, body)
    connection = Connection.__new__(Connection)
    connection._held = b""
    found = b""
    for begin, end in pairwise(sorted({0, len(request), *(place for place in places if place < len(request))})):
        part = request[begin:end]
        # As when the parser has seen the end of the headers.
        found += part if b"\r\n\r\n" in found else connection._without_offer(part)
    changed = b"ignored" if name.lower() == b"upgrade" else name
    assert found == request.replace(b"\r\n%s: h2c" % name, b"\r\n%s: h2c" % changed)


@pytest.mark.parametrize(
    "wrong",
    [
        b"nonsense\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
    ],
    ids=["no HTTP", "no path", "no length", "nothing asked"],
)
def test_what_is_no_request_is_refused_and_the_next_connection_is_answered(linear, wrong: bytes) -> None:
    endpoint, body = linear
    assert until_the_end(endpoint, [wrong]).startswith(b"HTTP/1.1 400")
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert ask(endpoint, [whole]).startswith(b"HTTP/1.1 200")


def test_clients_that_go_in_the_middle_cost_no_other_request(linear) -> None:
    endpoint, body = linear
    place = urlsplit(endpoint.url)
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for length in (10, len(HEAD) + 5, len(whole) - 1, len(whole)):
        with socket.create_connection((place.hostname, place.port or 80), timeout=10) as connection:
            connection.sendall(whole[:length])
    columns = json.loads(body)["inputs"]
    repeated = [{**one, "shape": [8000], "data": one["data"] * 4000} for one in columns]
    large = json.dumps({"inputs": repeated}).encode()
    answer = ask(endpoint, [HEAD + b"Content-Length: %d\r\n\r\n" % len(large) + large])
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["outputs"][0]["data"]) == 8000


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(linear) -> None:
    endpoint, _ = linear
    answer = ask(endpoint, [HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 100])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v2/health/live", 200),
        ("HEAD", "/metrics", 200),
        ("DELETE", "/invocations", 405),
        ("GET", "/v2/models/eta/infer", 405),
        ("POST", "/v2/models/eta", 405),
        ("GET", "/", 404),
        ("GET", "/v2/models/eta/versions", 404),
        ("GET", "/v2/models/eta/versions/1/feedback", 404),
        ("GET", "/v2/models/eta/versions/1/", 200),
        ("GET", "/v2/models/eta/versions/9", 404),
        ("GET", "/v2/models//ready", 404),
        ("GET", "/v2/models/eta%2fready", 200),
        ("POST", "/v2/repository/models/eta/load", 400),
        ("POST", "/v2/repository/models/other/load", 404),
    ],
)
def test_every_path_and_method_has_its_answer(linear, method: str, path: str, status: int) -> None:
    endpoint, _ = linear
    answer = endpoint.client.request(method, path)
    assert answer.status_code == status, answer.text
    if status == 405:
        assert answer.headers["allow"]
    if status >= 400 and path != "/invocations":
        assert set(answer.json()) == {"error"}
    if path == "/invocations":
        assert answer.json()["error_code"] == "BAD_REQUEST"
