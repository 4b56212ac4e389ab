"""The OpenAPI document of an endpoint, and what it says about itself and its repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator
from model_folders import Case, Endpoint, tensors
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from mlops_workbench.core.settings import ServingSettings

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]


def document(endpoint: Endpoint, **options: Any) -> dict[str, Any]:
    answer = endpoint.client.get("/openapi.json", **options)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    assert found["openapi"] == "3.1.0"
    OpenAPI.model_validate(found)
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    return found


def validator(found: dict[str, Any], name: str) -> Draft202012Validator:
    registry = Registry().with_resource("urn:api", Resource(found, DRAFT202012))
    return Draft202012Validator({"$ref": f"urn:api#/components/schemas/{name}"}, registry=registry)


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", ["linear", "mixed", "forest", "text labels", "categories", "two targets"])
def test_the_document_is_valid_and_its_examples_are_answered_as_it_says(cases: Cases, serve: Serve, name: str) -> None:
    case = cases(name)
    endpoint = serve(case.folder)
    found = document(endpoint)
    assert (found["info"]["title"], found["info"]["version"]) == ("eta", "1")
    assert {one.rpartition("/")[2] for one in references(found)} <= found["components"]["schemas"].keys()
    examples = {}
    for path, request, response in (
        ("/v2/models/eta/infer", "InferenceRequest", "InferenceResponse"),
        ("/invocations", "Invocation", "Predictions"),
    ):
        example = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        validator(found, request).validate(example)
        answer = endpoint.client.post(path, json=example)
        assert answer.status_code == 200, answer.text
        validator(found, response).validate(answer.json())
        examples[path] = answer.json()
    want = case.estimator.predict(case.rows[:3])
    np.testing.assert_array_equal(examples["/invocations"]["predictions"], want)
    np.testing.assert_array_equal(np.ravel(examples["/v2/models/eta/infer"]["outputs"][0]["data"]), np.ravel(want))


def test_the_document_names_columns_and_types_and_every_path(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("mixed").folder)
    found = document(endpoint)
    row = found["components"]["schemas"]["Row"]
    assert set(row["required"]) == {"distance", "night", "day"}
    assert row["properties"]["dep delay"] == {"type": ["number", "null"], "format": "double"}
    assert row["properties"]["distance"] == {"type": "integer", "format": "int64"}
    assert row["properties"]["träger"]["type"] == ["string", "null"]
    check = validator(found, "InferenceRequest")
    inputs = tensors(cases("mixed").rows[:2])
    assert check.is_valid({"inputs": inputs})
    assert not check.is_valid({"inputs": [{**inputs[1], "datatype": "BOOL"}]})
    assert not check.is_valid({"inputs": []})
    for path, item in found["paths"].items():
        for method in item.keys() & {"get", "post"}:
            answer = endpoint.client.request(method, path.replace("{version}", "1"), content=b"")
            assert answer.status_code not in (404, 405), path
            assert str(answer.status_code) in item[method]["responses"] or answer.status_code == 400, path


def test_the_document_says_whether_a_token_is_needed_and_exists_without_a_version(serve: Serve, cases: Cases) -> None:
    endpoint = serve(cases("linear").folder, settings=ServingSettings(token="s3cret"))
    assert endpoint.client.get("/openapi.json").status_code == 401
    found = document(endpoint, headers={"Authorization": "Bearer s3cret"})
    assert found["security"] == [{"token": []}]
    assert found["paths"]["/ping"]["get"]["security"] == []
    assert document(serve(None))["info"]["version"] == "0"


def test_the_repository_lists_versions_and_leaves_loading_to_deployments(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder)
    client = endpoint.client
    ready = {"name": "eta", "version": "1", "state": "READY", "reason": ""}
    assert client.post("/v2/repository/index").json() == [ready]
    endpoint.service.router.switch("flight-delays", 2, cases("boosted").folder)
    assert client.post("/v2/repository/index", json={"ready": True}).json() == [{**ready, "version": "2"}, ready]
    for what in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/eta/{what}", json={"parameters": {}})
        assert (answer.status_code, "mlops deploy" in answer.json()["error"]) == (400, True)
        assert client.post(f"/v2/repository/models/etta/{what}").status_code == 404
    assert client.get("/v2/models").json() == {"models": ["eta"]}
    for body in (b"[", b"[]", b'{"ready": 1}'):
        answer = client.post("/v2/repository/index", content=body)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
    empty = serve(None).client
    assert [one["state"] for one in empty.post("/v2/repository/index").json()] == ["UNAVAILABLE"]
    assert empty.post("/v2/repository/index", json={"ready": True}).json() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/eta/infer", 405),
        ("GET", "/invocations", 405),
        ("PUT", "/invocations", 405),
        ("DELETE", "/v2/models/eta", 405),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/openapi.json", 405),
        ("GET", "/", 404),
        ("GET", "/v2/models/eta/versions", 404),
        ("GET", "/v2/models/eta/versions/9/ready", 404),
        ("GET", "/v2/models/eta/versions/x", 404),
        ("POST", "/v2/models/%E2%82%AC%00/infer", 404),
        ("GET", "/v3", 404),
    ],
)
def test_other_methods_and_paths_are_refused_in_the_form_of_the_protocol(
    cases: Cases, serve: Serve, method: str, path: str, status: int
) -> None:
    answer = plain(cases, serve).client.request(method, path, content=b"{}")
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == (["error_code", "message"] if path == "/invocations" else ["error"])
    assert "allow" in answer.headers or status != 405


_PLAIN: list[Endpoint] = []


def plain(cases: Cases, serve: Serve) -> Endpoint:
    if not _PLAIN:
        _PLAIN.append(serve(cases("linear").folder))
    return _PLAIN[0]
