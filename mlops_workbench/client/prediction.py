"""Requests predictions over the Open Inference Protocol, and sends feedback."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd

from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import InvalidInput, Unavailable

_DATATYPES = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64"}


def request_predictions(
    endpoint: Endpoint, data: Any, *, token: str = "", event_time: str | None = None
) -> pd.Series[Any]:
    """Predictions for a DataFrame or an array of shape (rows, columns).

    Returns
    -------
    Series of shape (rows,)
        With the index of `data` if it has one; ``attrs["request_id"]`` is the id for :func:`send_feedback`.

    Raises
    ------
    Unavailable
        The endpoint does not answer.
    InvalidInput
        The endpoint refused the data.
    """
    body: dict[str, Any] = {"inputs": tensors(data), "outputs": [{"name": "predict"}]}
    if event_time is not None:
        body["parameters"] = {"event_time": event_time}
    answer = _post(endpoint, "infer", body, token)
    values = np.asarray(answer["outputs"][0]["data"])
    index = data.index if isinstance(data, pd.DataFrame) else None
    predictions = pd.Series(values, index=index, name="prediction")
    predictions.attrs["request_id"] = answer["id"]
    return predictions


def send_feedback(endpoint: Endpoint, predictions: pd.Series[Any], labels: Any, *, token: str = "") -> int:
    """Send the true values of predicted rows to an endpoint, and return their number.

    Parameters
    ----------
    predictions : Series
        Returned by :func:`request_predictions`.
    labels : Series or array of shape (rows,)
        True values. A Series is matched by its index, anything else by position; missing labels are left out.

    Raises
    ------
    InvalidInput
        The predictions have no request id, or their number differs from that of the labels.
    """
    request = predictions.attrs.get("request_id")
    if not request:
        raise InvalidInput(
            "these predictions have no request id",
            hint="pass the Series that predict() returned; a slice or a manual copy loses its attrs",
        )
    if isinstance(labels, pd.Series) and not labels.index.equals(predictions.index):
        labels = labels.reindex(predictions.index)
    values = pd.Series(np.asarray(labels))
    if len(values) != len(predictions):
        raise InvalidInput(
            f"the number of labels ({len(values)}) differs from that of predictions ({len(predictions)})",
            hint="give one label for each row",
        )
    known = values[values.notna()]
    if known.empty:
        raise InvalidInput("all labels are missing", hint="labels are matched by the index of the predicted table")
    body = {"request_id": request, "row": known.index.tolist(), "label": known.tolist()}
    _post(endpoint, "feedback", body, token)
    return len(known)


def _post(endpoint: Endpoint, action: str, body: dict[str, Any], token: str) -> dict[str, Any]:
    if not endpoint.url:
        raise Unavailable(
            f"endpoint '{endpoint.name}' is {endpoint.state}",
            hint=endpoint.message or f"'mlops endpoints {endpoint.name}' shows details",
        )
    try:
        response = httpx.post(
            f"{endpoint.url}/v2/models/{endpoint.name}/{action}",
            content=msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=120,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise Unavailable(f"endpoint '{endpoint.name}' does not answer: {error}", where=endpoint.url) from error
    answer = msgspec.json.decode(response.content, type=dict[str, Any])
    if not response.is_success:
        raise InvalidInput(str(answer.get("error", answer)), where=f"endpoint '{endpoint.name}'")
    return answer


def tensors(data: Any) -> list[dict[str, Any]]:
    """Input tensors of a DataFrame (one per column) or an array of shape (rows, columns); missing values are null."""
    if isinstance(data, pd.DataFrame):
        return [_column(str(name), data[name]) for name in data.columns]
    array = np.asarray(data)
    if array.ndim != 2:
        raise InvalidInput(
            f"data must be a table, not an array of shape {array.shape}",
            hint="for one row use X.iloc[[0]] or x.reshape(1, -1)",
        )
    values = array.astype(float)
    return [{"name": "input", "datatype": "FP64", "shape": list(array.shape), "data": _nullable(values.ravel())}]


def _column(name: str, series: pd.Series[Any]) -> dict[str, Any]:
    kind = _DATATYPES.get(series.dtype.kind) if not series.hasnans else None
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        # Text in ISO 8601 keeps the time zone; the endpoint converts it according to its signature.
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
