"""The example row of an endpoint, from its own OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import httpx
import msgspec

from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import NotFound, Unavailable


@dataclass(frozen=True)
class Example:
    """A row that an endpoint answers.

    Attributes
    ----------
    split : dict
        Body of ``/invocations``: ``dataframe_split`` with names and values, or ``inputs`` with an array.
    tensors : list of dict
        Inputs of ``/v2/models/<name>/infer``.
    """

    split: dict[str, Any]
    tensors: list[dict[str, Any]]

    @property
    def row(self) -> dict[str, Any]:
        """Values by input; those of an array are named as its columns are."""
        if len(self.tensors) == 1 and len(self.tensors[0]["shape"]) == 2:
            return {f"x{at}": value for at, value in enumerate(self.tensors[0]["data"])}
        return {tensor["name"]: tensor["data"][0] for tensor in self.tensors}


def endpoint_example(endpoint: Endpoint, *, token: str = "") -> Example:
    """Ask an endpoint for its example.

    Raises
    ------
    Unavailable
        It does not answer.
    NotFound
        Its model has no example.
    """
    if not endpoint.url:
        raise Unavailable(f"endpoint '{endpoint.name}' is {endpoint.state}", hint=endpoint.message or None)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{endpoint.url}/openapi.json", headers=headers, timeout=30, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable(f"endpoint '{endpoint.name}' does not answer: {error}", where=endpoint.url) from error
    document = msgspec.json.decode(answer.content, type=dict[str, Any])
    split = _example(document, "/invocations")
    infer = _example(document, f"/v2/models/{endpoint.name}/infer")
    if split is None or infer is None:
        raise NotFound(
            f"the model of endpoint '{endpoint.name}' has no example", hint="register a model that was fitted on data"
        )
    return Example(_first_row(split), [_first_value(tensor) for tensor in infer["inputs"]])


def _first_row(body: dict[str, Any]) -> dict[str, Any]:
    if "inputs" in body:
        return {"inputs": body["inputs"][:1]}
    split = body["dataframe_split"]
    return {"dataframe_split": {**split, "data": split["data"][:1]}}


def _first_value(tensor: dict[str, Any]) -> dict[str, Any]:
    shape = [1, *tensor["shape"][1:]]
    return {**tensor, "shape": shape, "data": tensor["data"][: prod(shape)]}


def _example(document: dict[str, Any], path: str) -> dict[str, Any] | None:
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    found: dict[str, Any] | None = content.get("example")
    return found
