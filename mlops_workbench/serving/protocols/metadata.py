"""What an endpoint says about itself and its model in the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_workbench.core.model_schema import DATATYPE
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.body import parse_object
from mlops_workbench.serving.protocols.datatypes import output_datatype
from mlops_workbench.serving.rows.signature import InputColumn
from mlops_workbench.serving.runtimes.estimator import Runtime

EXTENSIONS = ("binary_tensor_data", "model_repository")


def server_metadata(version: str) -> dict[str, Any]:
    """Answer to ``GET /v2``."""
    return {"name": "mlops-workbench", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(name: str, versions: Sequence[int], runtime: Runtime) -> dict[str, Any]:
    """Answer to ``GET /v2/models/{name}``: one tensor per column, or one matrix for a model of arrays.

    An output that is answered only if a request names it is optional.
    """
    signature = runtime.signature
    if signature.form == "matrix":
        shape = [-1, len(signature.columns)]
        inputs = [{"name": "input", "datatype": DATATYPE[signature.columns[0].type], "shape": shape}]
    else:
        inputs = [_column(column) for column in signature.columns]
    outputs: list[dict[str, Any]] = []
    for output, sample in runtime.output_samples.items():
        datatype, width = ("FP64", [-1]) if sample is None else (output_datatype(sample.dtype), sample.shape[1:])
        outputs.append({"name": output, "datatype": datatype, "shape": [-1, *(size or -1 for size in width)]})
        if output in runtime.selectable and output not in runtime.outputs:
            outputs[-1]["parameters"] = {"optional": True}
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": runtime.platform,
        "inputs": inputs,
        "outputs": outputs,
    }


def wants_ready_only(body: bytes) -> bool:
    """Whether a request for the index asks for models that answer only; an empty body asks for all.

    Raises
    ------
    InvalidRequest
        The body is not a JSON object with a boolean ``ready``.
    """
    ready = parse_object(body).get("ready", False) if body.strip() else False
    if type(ready) is not bool:
        raise InvalidRequest("ready must be true or false")
    return ready


def repository_index(name: str, versions: Sequence[int], *, ready_only: bool) -> list[dict[str, Any]]:
    """Answer to ``POST /v2/repository/index``; an endpoint that has loaded no version yet has an unavailable model."""
    found = [{"name": name, "version": str(version), "state": "READY", "reason": ""} for version in versions]
    if found or ready_only:
        return found
    return [{"name": name, "version": "", "state": "UNAVAILABLE", "reason": "no version is loaded yet"}]


def _column(column: InputColumn) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": column.name, "datatype": DATATYPE[column.type], "shape": [-1]}
    if column.type == "datetime":
        metadata["parameters"] = {"content_type": "datetime"}
    if not column.required:
        metadata.setdefault("parameters", {})["optional"] = True
    return metadata
