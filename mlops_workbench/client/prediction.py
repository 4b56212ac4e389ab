"""Requests predictions over the Open Inference Protocol, and sends feedback."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd

from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import InvalidInput, Unavailable

#: Hint for a single row that was given without a table around it.
_ONE_ROW = "for one row use X.iloc[[0]] or x.reshape(1, -1)"


def request_predictions(
    endpoint: Endpoint, data: Any, *, token: str = "", event_time: str | None = None
) -> pd.Series[Any] | pd.DataFrame:
    """Predictions for any kind of table, or for a Series or list of texts.

    Parameters
    ----------
    data : DataFrame, array, Series, sparse matrix, table of Arrow or polars, list
        Rows, of any class that a model can be fitted on.

    Returns
    -------
    Series of shape (rows,), or DataFrame of shape (rows, targets)
        With the index of `data` if it has one; ``attrs["request_id"]`` is the id for :func:`send_feedback`.

    Raises
    ------
    Unavailable
        The endpoint does not answer.
    InvalidInput
        The endpoint refused the data, or they cannot be sent.
    """
    body: dict[str, Any] = {"inputs": tensors(data), "outputs": [{"name": "predict"}]}
    if event_time is not None:
        body["parameters"] = {"event_time": event_time}
    try:
        answer = _post(endpoint, "infer", body, token)
    except InvalidInput as error:
        if len(getattr(data, "shape", ())) == 1 and "missing input column" in error.message:
            raise InvalidInput(error.message, where=error.where, hint=_ONE_ROW) from error
        raise
    output = answer["outputs"][0]
    values = np.asarray(output["data"]).reshape(output["shape"])
    index = data.index if isinstance(data, pd.DataFrame | pd.Series) else None
    predictions: pd.Series[Any] | pd.DataFrame
    if values.ndim == 2:
        predictions = pd.DataFrame(values, index=index)
    else:
        predictions = pd.Series(values, index=index, name="prediction")
    predictions.attrs["request_id"] = answer["id"]
    return predictions


def send_feedback(
    endpoint: Endpoint, predictions: pd.Series[Any] | pd.DataFrame, labels: Any, *, token: str = ""
) -> int:
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
    if isinstance(predictions, pd.DataFrame):
        raise InvalidInput("these are predictions of several targets", hint="feedback takes the truth of one target")
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
