"""Asks an endpoint for predictions over the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd

from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import InvalidInput, Unavailable

_DATATYPES = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64"}


def request_predictions(endpoint: Endpoint, data: Any, *, token: str = "", event_time: str | None = None) -> Any:
    """Predictions for a DataFrame (as a Series) or an array (as an array).

    Raises
    ------
    Unavailable
        The endpoint does not answer.
    InvalidInput
        It refused the data.
    """
    if not endpoint.url:
        raise Unavailable(
            f"endpoint '{endpoint.name}' is {endpoint.state}", hint=endpoint.message or "'mlops endpoints' shows more"
        )
    body: dict[str, Any] = {"inputs": tensors(data), "outputs": [{"name": "predict"}]}
    if event_time is not None:
        body["parameters"] = {"event_time": event_time}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        response = httpx.post(
            f"{endpoint.url}/v2/models/{endpoint.name}/infer",
            content=msgspec.json.encode(body),
            headers=headers,
            timeout=120,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise Unavailable(f"endpoint '{endpoint.name}' does not answer: {error}", where=endpoint.url) from error
    answer = msgspec.json.decode(response.content, type=dict[str, Any])
    if not response.is_success:
        raise InvalidInput(str(answer.get("error", answer)), where=f"endpoint '{endpoint.name}'")
    values = np.asarray(answer["outputs"][0]["data"])
    return pd.Series(values, index=data.index, name="prediction") if isinstance(data, pd.DataFrame) else values


def tensors(data: Any) -> list[dict[str, Any]]:
    """Input tensors of a DataFrame (one per column) or an array of shape (rows, columns).

    Missing values become null.
    """
    if isinstance(data, pd.DataFrame):
        return [_column(str(name), data[name]) for name in data.columns]
    array = np.asarray(data)
    if array.ndim != 2:
        raise InvalidInput(
            f"expected a table, got an array of shape {array.shape}",
            hint="for one row use X.iloc[[0]] or x.reshape(1, -1)",
        )
    values = array.astype(float)
    return [{"name": "input", "datatype": "FP64", "shape": list(array.shape), "data": _nullable(values.ravel())}]


def _column(name: str, series: pd.Series[Any]) -> dict[str, Any]:
    kind = _DATATYPES.get(series.dtype.kind) if not series.hasnans else None
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        # Text in ISO 8601 keeps the zone; the endpoint's signature says that it is a time.
        values = [None if pd.isna(value) else value.isoformat() for value in series]
        return {"name": name, "datatype": "BYTES", "shape": [len(series)], "data": values}
    if kind is not None:
        return {"name": name, "datatype": kind, "shape": [len(series)], "data": series.tolist()}
    if pd.api.types.is_numeric_dtype(series.dtype):
        values = _nullable(series.astype(float).to_numpy())
        return {"name": name, "datatype": "FP64", "shape": [len(series)], "data": values}
    values = [None if pd.isna(value) else str(value) for value in series]
    return {"name": name, "datatype": "BYTES", "shape": [len(series)], "data": values}


def _nullable(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
