"""Functions for programs that use models and endpoints by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace


def load_model(reference: str) -> Any:
    """Load the fitted estimator of ``name@alias``, ``name/3`` or ``name``.

    Raises
    ------
    NotFound
        The model, version or alias does not exist.
    InvalidInput
        The model contains types that are not trusted; see ``serving.trusted_types``.
    """
    from mlops_workbench.serving.runtimes.estimator import load_estimator

    home = Workspace.find()
    with Client.connect(home) as client:
        local = client.local_model(reference)
    return load_estimator(Path(local.folder), home.settings.serving)


def predict(endpoint: str, data: Any, *, event_time: str | None = None) -> Any:
    """Get predictions of an endpoint for a table.

    Parameters
    ----------
    endpoint : str
        Name of a running endpoint.
    data : DataFrame, ndarray, Series, sparse matrix, table of Arrow or polars, list of texts
        Rows as the model was fitted on.
    event_time : str, optional
        Time of the rows' events, ISO 8601; it assigns them to monitoring windows.

    Returns
    -------
    Series of shape (rows,), or DataFrame of shape (rows, targets)
        With the index of `data` if it has one; pass it to :func:`feedback`.

    Raises
    ------
    NotFound
        The endpoint does not exist.
    InvalidInput
        The endpoint refused the data; the message names the column.
    """
    from mlops_workbench.client.prediction import request_predictions

    home = Workspace.find()
    with Client.connect(home) as client:
        found = client.endpoint(endpoint)
    return request_predictions(found, data, token=home.settings.serving.token, event_time=event_time)


def feedback(endpoint: str, predictions: Any, labels: Any) -> int:
    """Send the true values of predicted rows to an endpoint, so that its quality can be monitored.

    Parameters
    ----------
    endpoint : str
        Name of the endpoint.
    predictions : Series
        Returned by :func:`predict`.
    labels : Series or array of shape (rows,)
        True values: a Series is matched by its index, anything else by position.

    Returns
    -------
    int
        Number of labels sent.
    """
    from mlops_workbench.client.prediction import send_feedback

    home = Workspace.find()
    with Client.connect(home) as client:
        found = client.endpoint(endpoint)
    return send_feedback(found, predictions, labels, token=home.settings.serving.token)
