"""What a program asks of models and endpoints by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_workbench.client.client import Client
from mlops_workbench.core.workspace import Workspace


def load_model(reference: str) -> Any:
    """The fitted estimator behind ``name@alias``, ``name/3`` or ``name``.

    Raises
    ------
    NotFound
        There is no such model, version or alias.
    InvalidInput
        The model holds types that nobody has vouched for.
    """
    from mlops_workbench.serving import load_estimator

    home = Workspace.find()
    with Client.connect(home) as client:
        local = client.local_model(reference)
    return load_estimator(Path(local.folder), home.settings.serving)


def predict(endpoint: str, data: Any, *, event_time: str | None = None) -> Any:
    """Predictions of an endpoint for a table.

    Parameters
    ----------
    endpoint : str
        Name of a running endpoint.
    data : DataFrame, or ndarray of shape (rows, columns)
        Rows in the form the model was trained on.
    event_time : str, optional
        When the rows happened, ISO 8601; monitoring windows go by it.

    Returns
    -------
    Series of shape (rows,)
        With the index of `data` if it has one; :func:`feedback` takes it.

    Raises
    ------
    NotFound
        There is no such endpoint.
    InvalidInput
        The endpoint refused the data; the message names the column.
    """
    from mlops_workbench.client.prediction import request_predictions

    home = Workspace.find()
    with Client.connect(home) as client:
        found = client.endpoint(endpoint)
    return request_predictions(found, data, token=home.settings.serving.token, event_time=event_time)


def feedback(endpoint: str, predictions: Any, labels: Any) -> int:
    """Tell an endpoint what really happened, so that its quality can be watched.

    Parameters
    ----------
    endpoint : str
        Name of the endpoint.
    predictions : Series
        What :func:`predict` returned.
    labels : Series or array of shape (rows,)
        The truth: a Series is matched by its index, anything else by position.

    Returns
    -------
    int
        How many rows have a label now.
    """
    from mlops_workbench.client.prediction import send_feedback

    home = Workspace.find()
    with Client.connect(home) as client:
        found = client.endpoint(endpoint)
    return send_feedback(found, predictions, labels, token=home.settings.serving.token)
