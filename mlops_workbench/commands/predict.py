"""Predictions of an endpoint, or of a model for files of any size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import click

from mlops_workbench.commands.cells import Cell, counted
from mlops_workbench.commands.completion import endpoint_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.models import model_name
from mlops_workbench.core.shown.formats import duration

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.serving.scoring.request import OnError

_SHOWN_ROWS, _SHOWN_INPUTS = 20, 6
_ONLY_BATCH = ("keep", "on_error", "force", "log", "workers")


@click.command()
@click.argument("endpoint", shell_complete=endpoint_names)
@click.argument("data", nargs=-1, required=True, metavar="DATA")
@click.option("--event-time", default=None, help="Time of the rows' events, ISO 8601.")
@click.option("--output", "-o", default=None, type=click.Path(dir_okay=False), help="CSV file to write.")
@click.option("--batch", is_flag=True, help="DATA is IN... OUT: files or folders of any size, without an endpoint.")
@click.option("--keep", multiple=True, metavar="COLUMNS", help="With --batch: input columns to copy, as A,B.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "null"]),
    default="fail",
    show_default=True,
    help="With --batch: what a row does that the model cannot answer.",
)
@click.option("--force", is_flag=True, help="With --batch: replace OUT.")
@click.option("--log", is_flag=True, help="With --batch: write the answers to the endpoint's prediction log.")
@click.option(
    "--workers",
    default=0,
    type=click.IntRange(0, 256),
    help="With --batch: processes that answer; by default one for each core.",
)
@click.pass_context
def predict(
    context: click.Context,
    endpoint: str,
    data: tuple[str, ...],
    event_time: str | None,
    output: str | None,
    batch: bool,
    keep: tuple[str, ...],
    on_error: str,
    force: bool,
    log: bool,
    workers: int,
) -> View:
    """Get predictions of ENDPOINT for DATA.

    DATA is an expression in a notebook, a CSV or Parquet file in a shell. With --batch, files of any size are read in
    parts and answered by all cores; ENDPOINT may then be MODEL@ALIAS or MODEL/VERSION, too:

    mlops predict wine --batch in.parquet out.parquet
    """
    frontend = context.find_object(object)
    assert frontend is not None
    if batch:
        from mlops_workbench.commands.batch import BatchOptions, score_batch

        if output is not None:
            raise InvalidInput("--output is not for --batch", hint="the last file is the output")
        if event_time is not None and not log:
            raise InvalidInput("--event-time is for the prediction log", hint="add --log, or leave it out")
        columns = [name for one in keep for name in one.split(",") if name]
        options = BatchOptions(columns, cast("OnError", on_error), force, log, workers, event_time or "")
        return score_batch(cast("FrontEnd", frontend), endpoint, list(data), options)
    for name in _ONLY_BATCH:
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise InvalidInput(f"--{name.replace('_', '-')} is for --batch only", hint="add --batch, or leave it out")
    return _predict(cast("FrontEnd", frontend), endpoint, " ".join(data), event_time, output)


def _predict(frontend: FrontEnd, endpoint: str, data: str, event_time: str | None, output: str | None) -> View:
    # Imported here: importing pandas takes longer than any other command.
    from mlops_workbench.client.prediction import check_data, request_predictions

    table = frontend.table(data)
    with frontend.client() as client:
        found = client.endpoint(endpoint)
        versions = client.versions(model_name(found.model))
    inputs = next((version.inputs for version in versions if version.version == found.version), [])
    check_data(table, inputs, where=f"endpoint '{endpoint}'")
    token = frontend.workspace.settings.serving.token
    begun = time.perf_counter()
    predictions = request_predictions(found, table, token=token, event_time=event_time)
    seconds = time.perf_counter() - begun
    notes = []
    if output is not None:
        predictions.to_csv(output, index=False)
        notes.append(f"written to {output}")
    if len(predictions) > _SHOWN_ROWS:
        notes.append(f"showing the first {_SHOWN_ROWS} of {len(predictions):,} rows")
    shown = predictions.head(_SHOWN_ROWS)
    names, columns = _first_inputs(table, len(shown))
    if len(names) > _SHOWN_INPUTS:
        notes.append(f"inputs not shown: {len(names) - _SHOWN_INPUTS}")
    answers = [f"prediction {i}" for i in shown.columns] if shown.ndim == 2 else ["prediction"]
    return View(
        f"{counted(len(predictions), 'prediction')} of {endpoint}, version {found.version}, in {duration(seconds)}",
        columns=("row", *answers, *names[:_SHOWN_INPUTS]),
        rows=[
            (str(row), *(value if shown.ndim == 2 else (value,)), *inputs_of_row)
            for row, value, inputs_of_row in zip(
                shown.index, shown.to_numpy().tolist(), _rows(columns[:_SHOWN_INPUTS], len(shown)), strict=True
            )
        ],
        notes=notes,
        data=predictions,
    )


def _first_inputs(table: Any, count: int) -> tuple[list[str], list[list[Cell]]]:
    """Names and first values of the inputs, if it is a table with names."""
    import pandas as pd

    head: pd.DataFrame | None = None
    if isinstance(table, pd.DataFrame):
        head = table.head(count)
    elif isinstance(table, pd.Series):
        head = table.head(count).to_frame(str(table.name) if table.name is not None else "input")
    elif hasattr(table, "to_pandas") and hasattr(table, "head"):
        head = table.head(count).to_pandas()
    elif hasattr(table, "slice") and hasattr(table, "to_pandas"):
        head = table.slice(0, count).to_pandas()
    if head is None:
        return [], []
    columns = [[_cell(value) for value in head.iloc[:, at].tolist()] for at in range(head.shape[1])]
    return [str(name) for name in head.columns], columns


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str | bool | int | float):
        return cast("Cell", None if value != value else value)
    return str(value)


def _rows(columns: list[list[Cell]], count: int) -> list[tuple[Cell, ...]]:
    return list(zip(*columns, strict=True)) if columns else [()] * count


COMMANDS = (predict,)
