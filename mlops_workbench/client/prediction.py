"""Requests predictions over the Open Inference Protocol, and sends feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd

from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import InvalidInput, Unavailable, did_you_mean
from mlops_workbench.core.models import SignatureColumn

#: Rows whose types are checked before anything is sent; the endpoint checks all.
_CHECKED = 1000
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


def check_data(data: Any, inputs: Sequence[SignatureColumn], *, where: str) -> None:
    """Say what an endpoint would refuse, before anything is sent: names and types of all columns at once.

    Parameters
    ----------
    data : DataFrame, array, Series, list
        Rows.
    inputs : sequence of SignatureColumn
        Inputs of the model; empty if they are not known.
    where : str
        Of the error.

    Raises
    ------
    InvalidInput
        A column is missing or unknown, or its type is another one.
    """
    if not inputs:
        return
    head = data.head(_CHECKED) if isinstance(data, pd.DataFrame | pd.Series) else data
    given = {tensor["name"]: tensor for tensor in tensors(head)}
    if len(given) == 1 and len(next(iter(given.values()))["shape"]) == 2:
        width = next(iter(given.values()))["shape"][1]
        if width != len(inputs):
            raise InvalidInput(f"the data have {width} columns, and the model takes {len(inputs)}", where=where)
        return
    known = {column.name: column for column in inputs}
    missing = [column.name for column in inputs if column.required and column.name not in given]
    if len(inputs) == len(given) and all(str(name).isdecimal() for name in given):
        # Columns of an array, which are found by their places.
        return
    unknown = [name for name in given if name not in known]
    problems = []
    if missing:
        problems.append(f"missing input column{'s' if len(missing) > 1 else ''} {_listed(missing)}")
    if unknown:
        near = f"; {did_you_mean(unknown[0], known)}" if len(unknown) == 1 and not missing else ""
        problems.append(f"unknown: {_listed(unknown)}{near}")
    for name, tensor in given.items():
        if name in known and (wrong := _wrong_type(known[name].dtype, tensor)):
            problems.append(f"column '{name}': expected {wrong}")
    if problems:
        hint = _ONE_ROW if missing and len(getattr(data, "shape", ())) == 1 else None
        raise InvalidInput("; ".join(problems), where=where, hint=hint)


def _wrong_type(wanted: str, tensor: dict[str, Any]) -> str:
    """What is wrong with the type of a column; empty if the endpoint can take it."""
    datatype, first = tensor["datatype"], next((value for value in tensor["data"] if value is not None), None)
    if first is None:
        return ""
    is_text = isinstance(first, str)
    if wanted in ("integer", "long", "float", "double") and (is_text or isinstance(first, bool)):
        return f"numbers, got {'texts' if is_text else 'booleans'} such as {str(first)[:40]!r}"
    if wanted == "boolean" and datatype != "BOOL" and not isinstance(first, bool) and first not in (0, 1):
        return f"booleans, got values such as {str(first)[:40]!r}"
    if wanted == "string" and not is_text:
        return f"texts, got values such as {str(first)[:40]!r}"
    if wanted == "datetime" and not is_text:
        return f"times, got values such as {str(first)[:40]!r}"
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


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
