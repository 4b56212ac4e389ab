"""Open Inference Protocol (V2) over REST: from bodies to batches, and from predictions to bodies.

Pure functions; see https://github.com/kserve/open-inference-protocol for the specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.core.model_schema import DATATYPE
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.binary import LENGTH_HEADER, split_body, write_values
from mlops_workbench.serving.protocols.body import JSON, Encoded, parse_object
from mlops_workbench.serving.protocols.datatypes import ACCEPTED, output_datatype
from mlops_workbench.serving.protocols.tensors import Tensor, read_tensors
from mlops_workbench.serving.rows.arrays import typed_array
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.rows.values import Array, column_array, times_from_millis
from mlops_workbench.serving.runtimes.estimator import PREDICT, Prediction, Runtime

_OCTETS = "application/octet-stream"
#: Requests of Triton for an output that mean another answer, and so are not ignored.
_UNSUPPORTED = ("classification", "shared_memory_region")


class InferRequest(msgspec.Struct, frozen=True):
    """A parsed request.

    Attributes
    ----------
    id : str
        Id given by the client, empty without one.
    batch : Batch
        Typed rows.
    outputs : tuple of str
        What the model is asked for.
    wanted : dict of str to bool
        Requested tensors in the order of the answer, and whether each is answered as raw bytes; empty for all.
    is_binary : bool
        Whether outputs that the request does not name are answered as raw bytes.
    event_time : str
        Parameter of that name, empty without one.
    """

    id: str
    batch: Batch
    outputs: tuple[str, ...]
    wanted: dict[str, bool]
    is_binary: bool
    event_time: str


def read_infer(content: bytes, header_length: str | None, runtime: Runtime) -> InferRequest:
    """Parse the body of ``POST .../infer``.

    Parameters
    ----------
    content : bytes
        JSON, and raw tensors behind it.
    header_length : str or None
        Header with the length of the JSON; None if the body has no raw tensors.
    runtime : Runtime
        The model, with its signature and outputs.

    Raises
    ------
    InvalidRequest
        The message has the tensor or column, the expected and the given value.
    """
    text, binary = split_body(content, header_length)
    # Triton's client writes NaN as Python does.
    body = parse_object(text, nan=True)
    identity = body.get("id", "")
    if not isinstance(identity, str) or len(identity) > 512:
        raise InvalidRequest("id must be a text of at most 512 characters")
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters must be an object")
    event_time = parameters.get("event_time", "")
    if not isinstance(event_time, str):
        raise InvalidRequest("parameters.event_time must be a time as ISO 8601 text")
    tensors = read_tensors(body.get("inputs"), binary)
    is_binary = bool(_flag(parameters, "binary_data_output", "parameters"))
    wanted = _wanted(body.get("outputs"), runtime, is_binary)
    # Other names are those in the answer of a model of any flavor.
    outputs = tuple(dict.fromkeys(name if name in runtime.selectable else PREDICT for name in wanted))
    batch = _batch(tensors, runtime.signature)
    batch.params = parameters
    return InferRequest(
        identity,
        batch,
        outputs or runtime.outputs,
        wanted,
        is_binary,
        event_time,
    )


def infer_answer(name: str, version: int, identity: str, request: InferRequest, prediction: Prediction) -> Encoded:
    """The answer to an inference request.

    Raises
    ------
    InvalidRequest
        The model has answered without one of the requested outputs.
    """
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for output, found in _tensors(request, prediction).items():
        values = _encodable(found)
        if not request.wanted.get(output, request.is_binary):
            outputs.append(output_tensor(output, values))
            continue
        datatype = output_datatype(values.dtype)
        raw.append(write_values(values, datatype))
        parameters = {"binary_data_size": len(raw[-1])}
        shape = list(values.shape)
        outputs.append({"name": output, "shape": shape, "datatype": datatype, "parameters": parameters})
    head = orjson.dumps(
        {"model_name": name, "model_version": str(version), "id": identity, "outputs": outputs},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    if not raw:
        return Encoded(head, JSON)
    return Encoded(b"".join([head, *raw]), _OCTETS, {LENGTH_HEADER: str(len(head))})


def _tensors(request: InferRequest, prediction: Prediction) -> dict[str, Array]:
    """What is answered, by name: a model's answer with several names is a tensor for each."""
    named = prediction.table.arrays(prediction.outputs[PREDICT]) if prediction.table is not None else {}
    if not request.wanted:
        return named if len(named) > 1 else {name: prediction.outputs[name] for name in request.outputs}
    # `predict` is the whole answer, also if a column has that name.
    known = {**named, **prediction.outputs}
    if missing := next((name for name in request.wanted if name not in known), None):
        raise InvalidRequest(f"the model has no output '{missing[:200]}'; {did_you_mean(missing[:200], known)}")
    return {name: known[name] for name in request.wanted}


def output_tensor(name: str, values: Array) -> dict[str, Any]:
    """An output as a tensor with flat, row-major data; NaN becomes null."""
    values = _encodable(values)
    datatype = output_datatype(values.dtype)
    flat = np.ascontiguousarray(values).ravel()
    # The encoder accepts only arrays of native numbers.
    data = flat if datatype != "BYTES" else [None if value is None else str(value) for value in flat]
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": data}


def error_body(message: str) -> bytes:
    """``{"error": ...}``."""
    return orjson.dumps({"error": message})


def _encodable(values: Array) -> Array:
    """Numbers in the byte order of this machine, and floats of 32 or 64 bits."""
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        return values.astype(np.float64)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _batch(tensors: Mapping[str, Tensor], signature: Signature) -> Batch:
    if signature.form != "table":
        tensors = {signature.own_name(name): tensor for name, tensor in tensors.items()}
    first = next(iter(tensors.values()))
    width = len(signature.columns)
    if len(tensors) == 1 and len(first.shape) == 2 and (width > 1 or first.name not in signature.by_name):
        return _matrix(first, signature)
    if (batch := _numbers(tensors, signature)) is not None:
        return batch
    columns: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if signature.form == "vector" and len(tensors) == 1:
            column = signature.columns[0]  # the only input of such a model has no name
        else:
            found = signature.by_name.get(name)
            if found is None:
                # Often a misspelt column: name the missing ones, too.
                signature.check_complete(tensors.keys())
            column = found or signature.column(name)
        columns[column.name] = _column_values(column, tensor)
    return Batch.of_columns(signature, columns)


def _numbers(tensors: Mapping[str, Tensor], signature: Signature) -> Batch | None:
    """Batch of floats given one tensor for each column, without a step for each; None if anything is unusual."""
    if not signature.is_double or len(tensors) != len(signature.columns):
        return None
    columns: list[Sequence[object] | Array] = []
    for name in signature.names:
        tensor = tensors.get(name)
        if tensor is None or len(tensor.shape) != 1:
            return None
        # Without nulls, which a column may not take.
        if tensor.datatype == "BOOL" if tensor.kinds is None else not tensor.kinds <= _NUMBERS:
            return None
        columns.append(tensor.values)
    return Batch.of_same_columns(signature, columns)


def _matrix(tensor: Tensor, signature: Signature) -> Batch:
    if tensor.name in signature.by_name:
        raise InvalidRequest(f"column '{tensor.name[:200]}': expected shape [rows] or [rows, 1], got {tensor.shape}")
    if not (signature.is_double and tensor.datatype in ACCEPTED["double"]):
        _check_matrix(tensor, signature)
    shape = (tensor.shape[0], tensor.shape[1])
    if tensor.kinds is None:
        return Batch.of_array(signature, tensor.values.reshape(shape))
    return Batch.of_rows(signature, tensor.values, shape, tensor.kinds)


def _check_matrix(tensor: Tensor, signature: Signature) -> None:
    for column in signature.columns:
        accepted = ACCEPTED[column.type]
        # All values of a matrix have one type, so a boolean is a zero or a one.
        fits = tensor.datatype in accepted or (column.type == "boolean" and tensor.datatype in ACCEPTED["double"])
        if not fits or (column.type == "datetime" and tensor.datatype != "BYTES"):
            raise InvalidRequest(
                f"column '{column.name}' is of type {column.type} and cannot come in a matrix of {tensor.datatype};"
                " send a tensor for each column"
            )


def _column_values(column: InputColumn, tensor: Tensor) -> Array:
    if len(tensor.shape) == 2 and tensor.shape[1] != 1:
        raise InvalidRequest(f"column '{column.name}': expected shape [rows] or [rows, 1], got {tensor.shape}")
    kinds = tensor.kinds
    # Missing values alone have no type: a client cannot know that of the column.
    is_missing = kinds is not None and kinds <= {type(None)}
    if tensor.datatype not in ACCEPTED[column.type] and not is_missing:
        raise InvalidRequest(
            f"column '{column.name}': expected datatype {DATATYPE[column.type]} ({column.type}), got {tensor.datatype}"
        )
    if column.type == "datetime" and tensor.datatype == "INT64" and not is_missing:
        if kinds is not None and type(None) in kinds:
            raise InvalidRequest(f"column '{column.name}': INT64 has no missing value; send times as BYTES")
        return times_from_millis(column, tensor.values if kinds is not None else tensor.values.tolist())
    if kinds is None:
        return typed_array(column, tensor.values)
    return column_array(column, tensor.values, kinds)


_NUMBERS = frozenset({int, float})


def _wanted(raw: object, runtime: Runtime, is_binary: bool) -> dict[str, bool]:
    """Requested outputs, and whether each is answered as raw bytes; empty if the request names none."""
    if raw is None or raw == []:
        return {}
    if not isinstance(raw, list):
        raise InvalidRequest("outputs must be an array")
    wanted: dict[str, bool] = {}
    for position, one in enumerate(raw):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise InvalidRequest(f"outputs[{position}] must be an object with a name")
        if name not in runtime.selectable and not runtime.may_have_named_answers:
            known = did_you_mean(name[:200], runtime.selectable)
            raise InvalidRequest(f"the model has no output '{name[:200]}'; {known}")
        if name in wanted:
            raise InvalidRequest(f"output '{name}' is requested twice")
        parameters = one.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise InvalidRequest(f"output '{name}': parameters must be an object")
        if other := next((key for key in _UNSUPPORTED if key in parameters), None):
            raise InvalidRequest(f"output '{name}': {other} is not supported")
        own = _flag(parameters, "binary_data", f"output '{name}'")
        wanted[name] = is_binary if own is None else own
    return wanted


def _flag(parameters: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and type(value) is not bool:
        raise InvalidRequest(f"{where}: {key} must be true or false")
    return value
