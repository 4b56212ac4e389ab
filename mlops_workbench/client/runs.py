"""Runs as a DataFrame with the columns of MLflow's ``search_runs``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.metrics import metric_direction
from mlops_workbench.core.records import as_float
from mlops_workbench.core.runs import Run
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("run_id", "run_name", "experiment", "status", "start_time", "end_time", "duration", "uid", "parent_uid",
          "notebook")  # fmt: skip
_DIRECTIONS = {"asc": False, "ascending": False, "desc": True, "descending": True}


def runs(
    filter: str = "",
    experiment: str | None = None,
    *,
    order_by: str = "start",
    limit: int = 1000,
    status: str | None = None,
    kind: str | None = "run",
) -> pd.DataFrame:
    """Runs of the current workspace.

    Parameters
    ----------
    filter : str, optional
        In MLflow's filter language: ``metrics.auc > 0.8 and params.depth = 6``.
    experiment : str, optional
        By default all experiments.
    order_by : str
        ``start``, ``name``, ``duration``, ``metrics.<name>`` or ``params.<name>``, optionally with ``ASC`` or ``DESC``.
        By default newest first; for a metric, best first if its name shows what is better.
    limit : int
        Maximum number of runs.
    status : {"RUNNING", "FINISHED", "FAILED", "KILLED"}, optional
        Only runs with this status.
    kind : {"run", "notebook", "stage", "pipeline", "sweep"}, optional
        A ``run`` may be a whole notebook, too; None for all kinds.

    Returns
    -------
    DataFrame
        One row per run: ``run_id``, ``run_name``, ``experiment``, ``status``, ``start_time``, ``end_time`` (UTC),
        ``duration`` (seconds), ``uid``, ``parent_uid``, ``notebook``, and ``metrics.*``, ``params.*``, ``tags.*``.
        Metrics are floats, as in MLflow: NaN for a metric that is NaN and for one that a run does not have, and an
        infinity for an integer beyond the range of a double.

    Raises
    ------
    InvalidInput
        The filter or the order is invalid.

    Examples
    --------
    >>> runs("metrics.mae < 12", order_by="metrics.mae")[["run_name", "metrics.mae", "params.max_depth"]]
    """
    # Imported here: commands import this module, and --help needs no HTTP client.
    from mlops_workbench.client.client import Client

    column, descending = order_of(order_by)
    with Client.connect(notify=partial(warnings.warn, stacklevel=2)) as client:
        return runs_frame(
            client.runs(
                experiment, filter=filter, status=status, kind=kind, order_by=column, descending=descending, limit=limit
            )
        )


def order_of(order_by: str) -> tuple[str, bool]:
    """Column to order by, and whether the order is descending.

    Raises
    ------
    InvalidInput
        The direction is neither ``ASC`` nor ``DESC``.
    """
    column, _, direction = order_by.strip().rpartition(" ")
    if not column:
        return direction, best_descends(direction)
    if direction.lower() in _DIRECTIONS:
        return column.strip(), _DIRECTIONS[direction.lower()]
    if "." in column:
        # The name contains a space.
        return order_by.strip(), best_descends(order_by.strip())
    raise InvalidInput(f"'{direction}' is not a direction", hint="write ASC or DESC, for example 'metrics.auc DESC'")


def best_descends(column: str) -> bool:
    """Whether the default order is descending: not for texts and for metrics where lower is better."""
    if column.startswith("metrics."):
        return metric_direction(column.removeprefix("metrics.")) != "lower"
    return column not in ("name", "experiment", "status")


def runs_frame(found: Sequence[Run]) -> pd.DataFrame:
    """Runs as a DataFrame, see :func:`runs`."""
    import pandas as pd

    rows = [
        {
            "run_id": run.run_id,
            "run_name": run.name,
            "experiment": run.experiment,
            "status": run.status,
            "start_time": run.start_ms,
            "end_time": run.end_ms or None,
            "duration": run.seconds,
            "uid": run.uid,
            "parent_uid": run.parent_uid,
            "notebook": run.notebook,
            **{f"metrics.{name}": _as_float(value) for name, value in run.metrics.items()},
            **{f"params.{name}": value for name, value in run.params.items()},
            **{f"tags.{name}": value for name, value in run.tags.items()},
        }
        for run in found
    ]
    frame = pd.DataFrame(rows, columns=_columns(found))
    for name in ("start_time", "end_time"):
        frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="ms", utc=True)
    for name in frame.columns:
        if name.startswith("metrics.") or name == "duration":
            # A column of only missing values would otherwise have the type object.
            frame[name] = frame[name].astype("float64")
    return frame


def _as_float(value: JsonNumber | None) -> float | None:
    return None if value is None else as_float(real_number(value))


def _columns(found: Sequence[Run]) -> list[str]:
    names = dict.fromkeys(_FIRST)
    for kind in ("metrics", "params", "tags"):
        for run in found:
            names.update(dict.fromkeys(f"{kind}.{name}" for name in getattr(run, kind)))
    return list(names)
