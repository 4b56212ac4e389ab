"""The OpenAPI document and the server agree on what is a valid request."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address, token_file
from mlops_workbench.control.app import create_app
from mlops_workbench.control.services.monitors import _check
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.gates import check_conditions
from mlops_workbench.core.ids import check_name
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import check_alias
from mlops_workbench.tracking.index.filter import parse_identifier

DOCUMENT: dict[str, Any] = create_app().openapi()
SMALLEST = MonitoringSettings(min_rows=50, act_rows=50)


def schema_of(name: str, member: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]["properties"][member]
    return found


def parameter(path: str, method: str, name: str) -> dict[str, Any]:
    return next(p["schema"] for p in DOCUMENT["paths"][path][method]["parameters"] if p["name"] == name)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$") + r"\Z")


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Whether a schema of a text or number allows a value; patterns are those of JavaScript, where $ is the end."""
    if isinstance(value, str):
        return (
            schema["type"] == "string"
            and _compiled(schema.get("pattern", "")).search(value) is not None
            and len(value) <= schema.get("maxLength", 10**9)
            and value in schema.get("enum", [value])
        )
    return (
        not isinstance(value, bool)
        and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and not value <= schema.get("exclusiveMinimum", -float("inf"))
    )


def matching(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts that a pattern allows; those of a gate are built by hand, as its pattern looks ahead too often."""
    if schema["pattern"] == CONDITIONS["pattern"]:
        return conditions().filter(lambda text: allows(schema, text))
    return st.from_regex(schema["pattern"], fullmatch=True).filter(lambda text: allows(schema, text))


@st.composite
def conditions(draw: st.DrawFn) -> str:
    spaces = st.sampled_from(["", " ", "  "])
    numbers = st.sampled_from(["0", "15", "0.5", ".5", "1.", "1e3", "2.5E-3"]) | st.floats(0, 1e9).map(repr)
    words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
    quoted = st.text(st.characters(exclude_characters="`", codec="utf-8"), max_size=5).map(lambda text: f"`{text}`")
    names = words | quoted
    scoped = st.builds(
        lambda scope, name: f"{scope}.{name}", st.sampled_from(["metrics", "champion", "baseline"]), names
    )
    metrics = names | scoped | st.sampled_from(['metrics["a/b"]', 'champion["x y"]', "mae"])
    terms = metrics | numbers | st.builds(lambda sign, text: sign + text, st.sampled_from("+-"), metrics | numbers)

    def total(depth: int) -> str:
        parts = [draw(terms)]
        for _ in range(draw(st.integers(0, 1))):
            inner = f"({total(0)})" if depth and draw(st.integers(0, 9)) == 0 else draw(terms)
            parts += [draw(spaces), draw(st.sampled_from("+-*/")), draw(spaces), inner]
        return "".join(parts)

    def comparison() -> str:
        sign = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
        return total(1) + draw(spaces) + sign + draw(spaces) + total(1)

    found = comparison()
    for _ in range(draw(st.integers(0, 2))):
        other = f"({comparison()})" if draw(st.booleans()) else comparison()
        found += draw(st.sampled_from([" and ", " or ", "  and  "])) + other
    return found


def accepted(check: Callable[[], object]) -> bool:
    try:
        check()
    except InvalidInput:
        return False
    return True


NAMES = parameter("/api/endpoints/{name}", "put", "name")
ALIASES = schema_of("PromoteRequest", "alias")
CONDITIONS = schema_of("PromoteRequest", "gate")["items"]
ORDERS = parameter("/api/runs", "get", "order_by")
WINDOWS = schema_of("MonitorSpec", "window")
#: For each text with a form of its own: its schema, what the code accepts, and characters that it is made of.
TEXTS: dict[str, tuple[dict[str, Any], Callable[[str], object], str]] = {
    "name of an endpoint": (NAMES, lambda text: check_name("endpoint", text), "aZ0_-. /ü\n"),
    "name of a model": (
        parameter("/api/models/{name}/versions", "post", "name"), lambda text: check_name("model", text), "aZ0_-. /ü\n",
    ),
    "alias": (ALIASES, lambda text: text and check_alias(text), "aZv0_- .@\n"),
    "condition": (CONDITIONS, lambda text: check_conditions([text]), "aby <>=!01.+-*/()`\"[]_e\n"),
    "order": (ORDERS, parse_identifier, "metricspartsd. `\"_aé\n\x85"),
    "window": (WINDOWS, lambda text: _check(MonitorSpec("e", window=text), SMALLEST), "0159dayhourmonth-.٣\n"),
    "metric": (
        schema_of("MonitorSpec", "metric"), lambda text: _check(MonitorSpec("e", metric=text), SMALLEST), "maerms2",
    ),
}  # fmt: skip
WORDS = (
    "latest", "v1", "champion", "mae < 15", "mae < 0.9 * baseline.mae and mae <= champion.mae", "1 < 2", "if < 3",
    "metrics < 3", "`a b` > 0", 'metrics["a/b"] > 0', "(mae < 1 or rmse < 2) and r2 > 0.5", "007 < mae", "a < 1 < 2",
    "mae < 1if", "champion.mae < 3", "not mae < 1", "__quoted_0__ < 1", "mae<1e999", "x" * 200, "metrics.auc", "start",
    "metrics.", "metrics. ", "metrics.``", "params.`a b`", "datasets.name", "day", "0", "600", "9" * 5000, "",
)  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_the_document_forbids_what_the_code_refuses(kind: str, data: st.DataObject) -> None:
    schema, check, characters = TEXTS[kind]
    allowed = st.sampled_from(schema["enum"]) if "enum" in schema else matching(schema)
    changed = st.builds(
        lambda text, at, more: text[:at] + more + text[at:], allowed, st.integers(0, 20), st.text(characters)
    )
    text = data.draw(st.sampled_from(WORDS) | st.text(characters) | st.text() | changed)
    if not accepted(lambda: check(text)):
        assert not allows(schema, text)


@pytest.mark.parametrize("kind", TEXTS)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_the_code_accepts_what_the_document_allows(kind: str, data: st.DataObject) -> None:
    schema, check, _ = TEXTS[kind]
    text = data.draw(st.sampled_from(schema["enum"]) if "enum" in schema else matching(schema))
    check(text)


def test_usual_requests_are_allowed() -> None:
    for text in (
        "mae < 15",
        "mae <= 0.9 * baseline.mae and mae <= champion.mae",
        'metrics["a/b"] > -1e-3',
        "`a b`*2<x",
    ):
        assert allows(CONDITIONS, text), text
    for text in ("flight-delays@champion", "models:/flight-delays/3", "taxi", "models:/a b@x"):
        assert allows(schema_of("DeployRequest", "model"), text), text
    for text in ("start", "metrics.test mae", "params.größe", "duration", "tags.`a b`"):
        assert allows(ORDERS, text), text
    port = schema_of("DeployRequest", "port")
    assert [allows(port, value) for value in (0, 8080, 65535, -1, 65536, True)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    worse = schema_of("MonitorSpec", "max_degradation")
    assert [allows(worse, value) for value in (0.1, 0, -1.0)] == [True, False, False]


WORD = st.text(st.characters(codec="utf-8"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=5,
)


def values(schema: dict[str, Any] | bool) -> st.SearchStrategy[Any]:
    """Values that a schema of this document allows."""
    if isinstance(schema, bool):
        return JSON
    if "$ref" in schema:
        return values(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([values(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "string":
        if "pattern" in schema:
            return matching(schema)
        # A lone surrogate is no text.
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=schema.get("maxLength", 30))
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if schema["type"] == "number":
        return st.floats(
            schema.get("exclusiveMinimum", schema.get("minimum")), schema.get("maximum"),
            exclude_min="exclusiveMinimum" in schema, allow_nan=False, allow_infinity=False,
        )  # fmt: skip
    if schema["type"] == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if schema["type"] == "object":
        members = schema.get("properties", {})
        required = {name: values(members[name]) for name in schema.get("required", ())}
        optional = {name: values(member) for name, member in members.items() if name not in required}
        if not members and "additionalProperties" in schema:
            return st.dictionaries(
                st.text(st.characters(codec="utf-8")), values(schema["additionalProperties"]), max_size=3
            )
        return st.fixed_dictionaries(required, optional=optional)
    return {"boolean": st.booleans(), "null": st.none()}[schema["type"]]


#: What the document cannot say: MLflow's filter language, and what depends on the workspace.
NOT_GENERATED = {"filter"}
OF_THE_WORKSPACE = (
    "no window of ",
    "the parameters belong to no pipeline",
    "more than one ",
    "a sweep is of a notebook or of a pipeline",
)
ROUTES = sorted(
    (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path not in ("/api/events", "/api/shutdown")
)


@st.composite
def requests(draw: st.DrawFn, path: str, method: str) -> tuple[str, dict[str, Any], Any]:
    operation = DOCUMENT["paths"][path][method]
    query: dict[str, Any] = {}
    for one in operation.get("parameters", ()):
        if one["name"] in NOT_GENERATED:
            continue
        value = draw(values(one["schema"]))
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", quote(str(value), safe=""))
        elif value is not None and draw(st.booleans()):
            query[one["name"]] = str(value).lower() if isinstance(value, bool) else value
    body = operation.get("requestBody")
    return path, query, draw(values(body["content"]["application/json"]["schema"])) if body else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    workspace = Workspace.init(tmp_path_factory.mktemp("requests"))
    try:
        with Client.connect(workspace) as client:
            headers = {"Authorization": f"Bearer {token_file(workspace).read_text()}"}
            with httpx.Client(base_url=client.url, headers=headers, timeout=120, trust_env=False) as http:
                yield http
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


@pytest.mark.some(2)
@pytest.mark.process
@pytest.mark.parametrize(("path", "method"), ROUTES, ids=lambda value: str(value))
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_the_server_takes_what_the_document_allows(
    server: httpx.Client, path: str, method: str, data: st.DataObject
) -> None:
    place, query, body = data.draw(requests(path, method))
    answer = server.request(method, place, params=query, **({} if body is None else {"json": body}))
    assert answer.status_code < 500, (place, query, body, answer.text)
    if answer.status_code in (400, 422):
        assert answer.json()["message"].startswith(OF_THE_WORKSPACE), (place, query, body, answer.text)
