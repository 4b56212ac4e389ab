"""The OpenAPI document of an endpoint, made from the inputs and outputs of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.model_schema import DATATYPE
from mlops_workbench.serving.protocols.binary import LENGTH_HEADER
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.datatypes import ACCEPTED, DATATYPES, output_datatype
from mlops_workbench.serving.protocols.invocations import CSV, parse_invocation
from mlops_workbench.serving.protocols.parquet import PARQUET
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import Runtime

Schema = dict[str, Any]
_OCTETS = "application/octet-stream"
_NUMBER = {"type": "number"}
_VALUES: dict[str, Schema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time", "description": "ISO 8601; UTC without an offset"},
}
_EXAMPLE_ROWS = 3


def openapi_document(
    name: str, version: str, runtime: Runtime | None, example: bytes = b"", *, has_token: bool = False
) -> dict[str, Any]:
    """Return the document, of OpenAPI 3.1.

    Parameters
    ----------
    name : str
        Name of the endpoint.
    version : str
        Version of the model that answers.
    runtime : Runtime or None
        The model; None as long as none is loaded.
    example : bytes
        Body of ``/invocations`` with the input example of the model; empty without one.
    has_token : bool
        Whether requests need a bearer token.
    """
    signature = runtime.signature if runtime else None
    batch = _example(example, signature) if signature else None
    model = f"/v2/models/{quote(name, safe='')}"
    one = f"{model}/versions/{{version}}"
    number = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
    infer = _infer(signature, batch)
    paths: dict[str, Any] = {
        "/v2": {"get": _get("The server and its extensions")},
        "/v2/health/live": {"get": _get("Whether the process answers", public=True)},
        "/v2/health/ready": {"get": _get("Whether a version is loaded", public=True, unavailable=True)},
        "/v2/models": {"get": _get("The model of this endpoint")},
        model: {"get": _get("Inputs and outputs of the model", unavailable=True)},
        f"{model}/ready": {"get": _get("Whether the model answers", unavailable=True)},
        f"{model}/infer": {"post": infer},
        one: {"parameters": [number], "get": _get("Inputs and outputs of a version", unavailable=True)},
        f"{one}/ready": {"parameters": [number], "get": _get("Whether a version answers", unavailable=True)},
        f"{one}/infer": {"parameters": [number], "post": infer},
        f"{model}/feedback": {"post": _feedback()},
        "/v2/repository/index": {"post": _get("Loaded versions")},
        "/invocations": {"post": _invocations(signature, batch)},
        "/ping": {"get": _get("Whether a version is loaded", public=True, unavailable=True)},
        "/health": {"get": _get("Whether a version is loaded", public=True, unavailable=True)},
        "/version": {"get": _get("Version of MLflow that wrote the model", unavailable=True)},
        "/metrics": {"get": _get("Metrics in the text form of Prometheus", media="text/plain")},
    }
    components: dict[str, Any] = {
        "schemas": {
            "Row": _row(signature),
            "InferenceRequest": _request(signature),
            "InferenceResponse": _response(runtime),
            "Invocation": _invocation(signature),
            "Predictions": _predictions(),
            "V2Error": _object({"error": {"type": "string"}}, ["error"]),
            "InvocationError": _object(
                {"error_code": {"type": "string"}, "message": {"type": "string"}}, ["error_code", "message"]
            ),
        }
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version or "0",
            "description": "Answers of the model by the Open Inference Protocol (V2) and by MLflow's scoring protocol.",
        },
        "paths": paths,
        "components": components,
    }
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _example(body: bytes, signature: Signature) -> Batch | None:
    try:
        return parse_invocation(body, JSON, signature).batch if body else None
    except WorkbenchError:
        return None


def _object(properties: Schema, required: list[str], *, is_open: bool = True) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        **({} if is_open else {"additionalProperties": False}),
    }


def _get(summary: str, *, public: bool = False, unavailable: bool = False, media: str = JSON) -> Schema:
    responses: Schema = {"200": {"description": "OK", "content": {media: {}}}}
    if unavailable:
        responses["503"] = {"description": "no version is loaded yet"}
    return {"summary": summary, "responses": responses, **({"security": []} if public else {})}


def _answers(ok: Schema, error: str) -> Schema:
    refused = {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{error}"}}}}
    texts = {
        "400": "the request is wrong; the message says what and where",
        "413": "the request is too large",
        "415": "the content type or encoding is not supported",
        "503": "no version is loaded yet, or too many requests wait",
    }
    return {"200": ok, **{status: {"description": text, **refused} for status, text in texts.items()}}


def _infer(signature: Signature | None, batch: Batch | None) -> Schema:
    schema = {"$ref": "#/components/schemas/InferenceRequest"}
    content: Schema = {JSON: {"schema": schema}, _OCTETS: {}}
    if signature and batch:
        content[JSON]["example"] = {"inputs": _tensors(signature, batch)}
    length = {
        "name": LENGTH_HEADER,
        "in": "header",
        "description": "length of the JSON, if raw tensors follow it",
        "schema": {"type": "integer", "minimum": 0},
    }
    ok = {
        "description": "answers of the model",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/InferenceResponse"}}, _OCTETS: {}},
    }
    return {
        "summary": "Answers of the model to rows, by the Open Inference Protocol",
        "parameters": [length],
        "requestBody": {"required": True, "content": content},
        "responses": {**_answers(ok, "V2Error"), "404": {"description": "this version is not loaded"}},
    }


def _invocations(signature: Signature | None, batch: Batch | None) -> Schema:
    content: Schema = {
        JSON: {"schema": {"$ref": "#/components/schemas/Invocation"}},
        CSV: {"schema": {"type": "string"}},
        PARQUET: {},
    }
    if signature and batch:
        content[JSON]["example"] = _split(signature, batch)
    ok = {
        "description": "one answer for each row",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Predictions"}}},
    }
    return {
        "summary": "Answers of the model to rows, by MLflow's scoring protocol",
        "requestBody": {"required": True, "content": content},
        "responses": _answers(ok, "InvocationError"),
    }


def _feedback() -> Schema:
    body = _object(
        {
            "request_id": {"type": "string", "description": "id of an answered request"},
            "row": {"type": "integer", "minimum": 0},
            "label": {"description": "what was true"},
            "observed_at": {"type": "string", "format": "date-time"},
        },
        ["request_id", "label"],
    )
    ok = {"description": "stored", "content": {JSON: {}}}
    return {
        "summary": "True outcomes of answered rows",
        "requestBody": {"required": True, "content": {JSON: {"schema": {"anyOf": [body, {"type": "object"}]}}}},
        "responses": _answers(ok, "V2Error"),
    }


def _value(column: InputColumn) -> Schema:
    found = dict(_VALUES[column.type])
    if column.nullable is False:
        return found
    if column.nullable or not column.required or column.type not in ("boolean", "integer", "long"):
        found["type"] = [found["type"], "null"]
    return found


def _row(signature: Signature | None) -> Schema:
    if signature is None:
        return {"type": "object"}
    return _object({column.name: _value(column) for column in signature.columns}, sorted(signature.required))


def _tensor(datatypes: list[str], values: Schema, name: str | None, width: int) -> Schema:
    items: Schema = {"anyOf": [values, {"type": "array", "items": values}]}
    shape: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    if width > 1:
        shape = {**shape, "minItems": 2, "description": f"[rows, {width}]"}
    return _object(
        {
            "name": {"const": name} if name is not None else {"type": "string"},
            "datatype": {"enum": datatypes},
            "shape": shape,
            "data": {"type": "array", "items": items},
            "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
        },
        ["name", "datatype", "shape"],
    )


def _request(signature: Signature | None) -> Schema:
    inputs: Schema = {"type": "array", "minItems": 1}
    if signature is not None:
        tensors = []
        if signature.form == "table":
            for column in signature.columns:
                values = {"anyOf": [_value(column), _NUMBER]} if column.type == "datetime" else _value(column)
                tensors.append(_tensor(sorted(ACCEPTED[column.type]), values, column.name, 1))
        if signature.form != "table" or len(signature.columns) > 1:
            first = signature.columns[0]
            accepted = ACCEPTED[first.type] if signature.form != "table" else DATATYPES
            tensors.append(_tensor(sorted(accepted), {}, None, len(signature.columns) if len(tensors) > 1 else 1))
        inputs["items"] = {"anyOf": tensors}
    output = _object({"name": {"type": "string"}, "parameters": {"type": "object"}}, ["name"])
    return _object(
        {
            "id": {"type": "string", "maxLength": 512},
            "parameters": {"type": "object"},
            "inputs": inputs,
            "outputs": {"type": "array", "items": output},
        },
        ["inputs"],
    )


def _response(runtime: Runtime | None) -> Schema:
    tensors = []
    for output, sample in runtime.output_samples.items() if runtime else ():
        datatype = {"const": output_datatype(sample.dtype)} if sample is not None else {"type": "string"}
        tensors.append(
            _object(
                {
                    "name": {"const": output},
                    "datatype": datatype,
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "data": {"type": "array"},
                },
                ["name", "datatype", "shape"],
            )
        )
    outputs: Schema = {"type": "array", **({"items": {"anyOf": tensors}} if tensors else {})}
    texts: Mapping[str, Schema] = {key: {"type": "string"} for key in ("model_name", "model_version", "id")}
    return _object({**texts, "outputs": outputs}, ["model_name", "outputs"])


def _invocation(signature: Signature | None) -> Schema:
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1}
    split = _object(
        {
            "columns": {"type": "array", "items": {"type": ["string", "number"]}},
            "index": {"type": "array"},
            "data": {"type": "array", "items": {"type": "array"}},
        },
        ["data"],
        is_open=False,
    )
    if signature is not None and signature.form == "table":
        split["properties"]["columns"]["examples"] = [list(signature.names)]
    anything: Schema = {"type": ["array", "object"]}
    forms = {"dataframe_split": split, "dataframe_records": rows, "instances": anything, "inputs": anything}
    params = {"params": {"type": "object"}}
    return {"oneOf": [_object({key: form, **params}, [key]) for key, form in forms.items()]}


def _predictions() -> Schema:
    return _object({"predictions": {"type": "array"}}, ["predictions"])


def _tensors(signature: Signature, batch: Batch) -> list[Schema]:
    rows = min(batch.rows, _EXAMPLE_ROWS)
    columns = {name: _listed(values[:rows]) for name, values in batch.columns.items()}
    if signature.form == "matrix":
        data = [value for row in zip(*columns.values(), strict=True) for value in row]
        datatype = DATATYPE[signature.columns[0].type]
        return [{"name": "input", "datatype": datatype, "shape": [rows, len(columns)], "data": data}]
    return [
        {"name": column.name, "datatype": DATATYPE[column.type], "shape": [rows], "data": columns[column.name]}
        for column in signature.columns
    ]


def _split(signature: Signature, batch: Batch) -> Schema:
    rows = min(batch.rows, _EXAMPLE_ROWS)
    columns = [_listed(values[:rows]) for values in batch.columns.values()]
    data = [list(row) for row in zip(*columns, strict=True)]
    if signature.form == "table":
        return {"dataframe_split": {"columns": list(signature.names), "data": data}}
    return {"inputs": [row[0] for row in data] if signature.form == "vector" else data}


def _listed(values: Array) -> list[Any]:
    if values.dtype.kind == "M":
        return [None if text == "NaT" else text for text in values.astype("datetime64[us]").astype(str).tolist()]
    return [None if value != value else value for value in values.tolist()]
