"""Open Inference Protocol (V2) over REST, JSON: from bodies to batches, and from predictions to bodies.

Pure functions; see https://github.com/kserve/open-inference-protocol for the specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.body import flatten
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import ColumnType, InputColumn, Signature
from mlops_workbench.serving.rows.values import Array, column_array, times_from_millis
from mlops_workbench.serving.runtimes.estimator import Prediction, Runtime

_SIGNED = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
_UNSIGNED = {f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)}
_INTEGERS = {**_SIGNED, **_UNSIGNED}
_FLOATS = frozenset({"FP32", "FP64"})
_KINDS: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
    **dict.fromkeys(_INTEGERS, frozenset({int, type(None)})),
    **dict.fromkeys(_FLOATS, frozenset({int, float, type(None)})),
}

#: Datatype of a column in the metadata, and those that are accepted for it.
_DATATYPE: dict[ColumnType, str] = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}
_ACCEPTED: dict[ColumnType, frozenset[str]] = {
    "boolean": frozenset({"BOOL"}),
    # Integers of tables with missing values are floats; fractions are rejected by value.
    "integer": frozenset(_INTEGERS) | _FLOATS,
    "long": frozenset(_INTEGERS) | _FLOATS,
    "float": frozenset(_INTEGERS) | _FLOATS,
    "double": frozenset(_INTEGERS) | _FLOATS,
    "string": frozenset({"BYTES"}),
    "datetime": frozenset({"BYTES", "INT64"}),
}


@dataclass(frozen=True)
class InferRequest:
    """A parsed request.

    Attributes
    ----------
    id : str
        Id given by the client, empty without one.
    batch : Batch
        Typed rows.
    outputs : tuple of str
        Requested outputs, in the order of the answer.
    event_time : str
        Parameter of that name, empty without one.
    """

    id: str
    batch: Batch
    outputs: tuple[str, ...]
    event_time: str


@dataclass(frozen=True)
class _Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] = field(repr=False)


def parse_infer(body: Mapping[str, Any], runtime: Runtime) -> InferRequest:
    """Parse the body of ``POST .../infer``.

    Parameters
    ----------
    body : mapping
        The JSON object.
    runtime : Runtime
        The model, with its signature and outputs.

    Raises
    ------
    InvalidRequest
        The message has the tensor or column, the expected and the given value.
    """
    identity = body.get("id", "")
    if not isinstance(identity, str) or len(identity) > 512:
        raise InvalidRequest("id must be a text of at most 512 characters")
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters must be an object")
    event_time = parameters.get("event_time", "")
    if not isinstance(event_time, str):
        raise InvalidRequest("parameters.event_time must be a time as ISO 8601 text")
    raw = body.get("inputs")
    if not isinstance(raw, list) or not raw:
        raise InvalidRequest("inputs must be an array of at least one tensor")
    tensors: dict[str, _Tensor] = {}
    for position, one in enumerate(raw):
        tensor = _tensor(one, position)
        if tensor.name in tensors:
            raise InvalidRequest(f"input '{tensor.name[:200]}' is given twice")
        tensors[tensor.name] = tensor
    return InferRequest(identity, _batch(tensors, runtime.signature), _wanted(body.get("outputs"), runtime), event_time)


def infer_body(name: str, version: int, identity: str, outputs: Sequence[str], prediction: Prediction) -> bytes:
    """Body of the answer to an inference request."""
    return orjson.dumps(
        {
            "model_name": name,
            "model_version": str(version),
            "id": identity,
            "outputs": [output_tensor(output, prediction.outputs[output]) for output in outputs],
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def output_tensor(name: str, values: Array) -> dict[str, Any]:
    """An output as a tensor with flat, row-major data; NaN becomes null."""
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float64)
    datatype = output_datatype(values.dtype)
    flat = np.ascontiguousarray(values).ravel()
    # The encoder accepts only arrays of native numbers.
    data = flat if datatype in _FLOATS or datatype in _INTEGERS or datatype == "BOOL" else [str(v) for v in flat]
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": data}


def output_datatype(dtype: np.dtype[Any]) -> str:
    """V2 datatype of an array; ``BYTES`` for anything but numbers and booleans."""
    bits = dtype.itemsize * 8
    match dtype.kind:
        case "b":
            return "BOOL"
        case "i":
            return f"INT{bits}"
        case "u":
            return f"UINT{bits}"
        case "f":
            return "FP32" if bits == 32 else "FP64"
    return "BYTES"


def model_metadata(name: str, versions: Sequence[int], runtime: Runtime) -> dict[str, Any]:
    """Answer to ``GET /v2/models/{name}``: one tensor per column, or one matrix for a model of arrays."""
    signature = runtime.signature
    if signature.form == "matrix":
        shape = [-1, len(signature.columns)]
        inputs = [{"name": "input", "datatype": _DATATYPE[signature.columns[0].type], "shape": shape}]
    else:
        inputs = [_column_metadata(column) for column in signature.columns]
    outputs = []
    for output in runtime.outputs:
        sample = runtime.sample[output]
        outputs.append({"name": output, "datatype": output_datatype(sample.dtype), "shape": [-1, *sample.shape[1:]]})
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": runtime.platform,
        "inputs": inputs,
        "outputs": outputs,
    }


def server_metadata(version: str) -> dict[str, Any]:
    """Answer to ``GET /v2``."""
    return {"name": "mlops-workbench", "version": version, "extensions": []}


def error_body(message: str) -> bytes:
    """``{"error": ...}``."""
    return orjson.dumps({"error": message})


def _tensor(raw: object, position: int) -> _Tensor:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise InvalidRequest(f"inputs[{position}] must be an object with a name, shape, datatype and data")
    # Cut in messages only.
    name = raw["name"][:200]
    shape, datatype = raw.get("shape"), raw.get("datatype")
    if not isinstance(datatype, str):
        raise InvalidRequest(f"input '{name}': datatype is missing")
    if datatype == "FP16":
        raise InvalidRequest(f"input '{name}': FP16 cannot be given as JSON; send FP32")
    if datatype not in _KINDS:
        known = did_you_mean(datatype[:40], _KINDS)
        raise InvalidRequest(f"input '{name}': unknown datatype '{datatype[:40]}'; {known}")
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidRequest(f"input '{name}': shape must be an array of sizes")
    if len(shape) not in (1, 2):
        raise InvalidRequest(f"input '{name}': expected shape [rows] or [rows, columns], got {str(shape)[:60]}")
    if "data" not in raw:
        raise InvalidRequest(f"input '{name}': data is missing")
    values = flatten(raw["data"], shape, name)
    kinds = set(map(type, values))
    if not kinds <= _KINDS[datatype]:
        at = next(at for at, value in enumerate(values) if type(value) not in _KINDS[datatype])
        raise InvalidRequest(f"input '{name}': element {at} is {_json_type(values[at])}, which is not {datatype}")
    if datatype in _INTEGERS and datatype not in ("INT64", "UINT64"):
        low, high = _INTEGERS[datatype]
        for at, value in enumerate(values):
            if value is not None and not low <= value <= high:
                raise InvalidRequest(f"input '{name}': element {at} is out of the range of {datatype}")
    return _Tensor(raw["name"], datatype, tuple(shape), values)


def _batch(tensors: Mapping[str, _Tensor], signature: Signature) -> Batch:
    tensors = {signature.own_name(name): tensor for name, tensor in tensors.items()}
    first = next(iter(tensors.values()))
    width = len(signature.columns)
    if len(tensors) == 1 and len(first.shape) == 2 and (width > 1 or first.name not in signature.by_name):
        return _matrix(first, signature)
    columns: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if signature.form == "vector" and len(tensors) == 1:
            column = signature.columns[0]  # the only input of such a model has no name
        else:
            if name not in signature.by_name:
                # Often a misspelt column: name the missing ones, too.
                signature.check_complete(dict(tensors))
            column = signature.column(name)
        columns[column.name] = _column_values(column, tensor)
    return Batch.of_columns(signature, columns)


def _matrix(tensor: _Tensor, signature: Signature) -> Batch:
    if tensor.name in signature.by_name:
        raise InvalidRequest(f"column '{tensor.name}': expected shape [rows] or [rows, 1], got {list(tensor.shape)}")
    for column in signature.columns:
        accepted = _ACCEPTED[column.type]
        # All values of a matrix have one type, so a boolean is a zero or a one.
        fits = tensor.datatype in accepted or (column.type == "boolean" and tensor.datatype in _ACCEPTED["double"])
        if not fits or (column.type == "datetime" and tensor.datatype != "BYTES"):
            raise InvalidRequest(
                f"column '{column.name}' is of type {column.type} and cannot come in a matrix of {tensor.datatype};"
                " send a tensor for each column"
            )
    return Batch.of_rows(signature, tensor.values, (tensor.shape[0], tensor.shape[1]))


def _column_values(column: InputColumn, tensor: _Tensor) -> Array:
    if len(tensor.shape) == 2 and tensor.shape[1] != 1:
        raise InvalidRequest(f"column '{column.name}': expected shape [rows] or [rows, 1], got {list(tensor.shape)}")
    # Missing values alone have no type: a client cannot know that of the column.
    has_values = any(value is not None for value in tensor.values)
    if has_values and tensor.datatype not in _ACCEPTED[column.type]:
        raise InvalidRequest(
            f"column '{column.name}': expected datatype {_DATATYPE[column.type]} ({column.type}), got {tensor.datatype}"
        )
    if column.type == "datetime" and tensor.datatype == "INT64" and has_values:
        if None in tensor.values:
            raise InvalidRequest(f"column '{column.name}': INT64 has no missing value; send times as BYTES")
        return times_from_millis(column, tensor.values)
    return column_array(column, tensor.values)


def _wanted(raw: object, runtime: Runtime) -> tuple[str, ...]:
    if raw is None or raw == []:
        return runtime.outputs
    if not isinstance(raw, list):
        raise InvalidRequest("outputs must be an array")
    wanted = []
    for position, one in enumerate(raw):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise InvalidRequest(f"outputs[{position}] must be an object with a name")
        if name not in runtime.outputs:
            raise InvalidRequest(f"the model has no output '{name[:200]}'; {did_you_mean(name[:200], runtime.outputs)}")
        if name in wanted:
            raise InvalidRequest(f"output '{name}' is requested twice")
        wanted.append(name)
    return tuple(wanted)


def _column_metadata(column: InputColumn) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": column.name, "datatype": _DATATYPE[column.type], "shape": [-1]}
    if column.type == "datetime":
        metadata["parameters"] = {"content_type": "datetime"}
    if not column.required:
        metadata.setdefault("parameters", {})["optional"] = True
    return metadata


def _json_type(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")
