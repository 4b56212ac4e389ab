"""Asks an endpoint about one row again and again, as a form does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from mlops_workbench.client.client import Client
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.model_schema import DATATYPE, SCHEMA_FILE, WIRE_TYPES, InputSpec, ModelSchema, decode_schema
from mlops_workbench.core.models import model_name


@dataclass(frozen=True)
class RowAnswer:
    """An answer to one row: values by output, the version that gave it, and seconds from request to answer."""

    outputs: dict[str, list[Any]]
    version: str
    seconds: float


class RowAsker:
    """A connection to an endpoint.

    Parameters
    ----------
    endpoint : Endpoint
        The endpoint.
    schema : ModelSchema
        Of the version that it serves.
    token : str
        Its token; empty for none.
    """

    def __init__(self, endpoint: Endpoint, schema: ModelSchema, token: str = "") -> None:
        self.endpoint = endpoint
        self.schema = schema
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=30, trust_env=False
        )

    def ask(self, row: dict[str, Any]) -> RowAnswer:
        """Ask about a row: values by input, None for a missing one.

        Raises
        ------
        InvalidInput
            The endpoint refuses the row; the message is its own.
        Unavailable
            It does not answer.
        """
        begun = time.perf_counter()
        try:
            answer = self._http.post(
                f"{self.endpoint.url}/v2/models/{self.endpoint.name}/infer",
                content=msgspec.json.encode({"inputs": self._tensors(row)}),
            )
        except httpx.TransportError as error:
            raise Unavailable(f"endpoint '{self.endpoint.name}' does not answer: {error}") from error
        seconds = time.perf_counter() - begun
        found = msgspec.json.decode(answer.content, type=dict[str, Any])
        if not answer.is_success:
            raise InvalidInput(str(found.get("error", found)))
        outputs = {one["name"]: one["data"] for one in found["outputs"]}
        return RowAnswer(outputs, str(found.get("model_version", "")), seconds)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _tensors(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        specs = self.schema.columns
        if self.schema.form in ("matrix", "sparse"):
            values = [row[spec.name] for spec in specs]
            kinds = {DATATYPE[spec.type] for spec in specs}
            datatype = kinds.pop() if len(kinds) == 1 else "FP64"
            return [{"name": "input", "datatype": datatype, "shape": [1, len(values)], "data": values}]
        return [
            {"name": spec.name, "datatype": DATATYPE[spec.type], "shape": [1], "data": [row[spec.name]]}
            for spec in specs
        ]


def served_schema(client: Client, endpoint: Endpoint) -> ModelSchema:
    """The schema of the version that an endpoint serves; without one, what its signature says."""
    version = endpoint.version or endpoint.wanted_version
    try:
        local = client.local_model(f"{model_name(endpoint.model)}/{version}")
        return decode_schema((Path(local.folder) / SCHEMA_FILE).read_bytes())
    except (WorkbenchError, OSError, ValueError):
        # The control plane is on another machine, or the model is older than schemas.
        versions = client.versions(model_name(endpoint.model))
    inputs = next((one.inputs for one in versions if one.version == version), [])
    if not inputs or any(one.dtype not in WIRE_TYPES for one in inputs):
        raise InvalidInput(f"the inputs of endpoint '{endpoint.name}' are not known", hint="register the model again")
    columns = [msgspec.convert({"name": one.name, "type": one.dtype, "dtype": one.dtype, "required": one.required},
                               InputSpec) for one in inputs]  # fmt: skip
    return ModelSchema("frame", columns)
