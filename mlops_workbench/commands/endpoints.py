"""Commands about endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.commands.cells import counted
from mlops_workbench.commands.completion import endpoint_names, model_references
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.models import release_option
from mlops_workbench.commands.releases import replay_view
from mlops_workbench.commands.view import View
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.models import SignatureColumn, model_name
from mlops_workbench.core.shown.formats import duration, moment

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

_SHOWN_ROWS, _SHOWN_INPUTS = 20, 8


@click.command()
@click.argument("model", metavar="MODEL[@ALIAS|/VERSION]", shell_complete=model_references)
@click.option("--name", default="", help="Name of the endpoint; by default the model's name.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port; by default any free one.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until the endpoint is ready.")
@click.option(
    "--override", default="", metavar="REASON", help="Serve it although the replay of logged requests refuses it."
)
@release_option
@click.pass_obj
def deploy(
    frontend: FrontEnd, model: str, name: str, port: int, timeout: float, override: str, release_quarantine: str
) -> View:
    """Serve a MODEL, by default its champion.

    With @ALIAS the endpoint follows the alias. An endpoint that exists switches to the new version, after that has
    answered the last logged requests: [gates] replay_rows in workbench.toml.
    """
    if "@" not in model and "/" not in model:
        model = f"{model}@champion"
    endpoint = name or model_name(model)
    with frontend.client() as client:
        request = DeployRequest(model, port, override, release_quarantine)
        deployed = client.deploy(endpoint, request, timeout=timeout)
        view = endpoint_view(deployed, "deployed", next_step(frontend, client, deployed))
        # It is deployed, whatever becomes of this question.
        with contextlib.suppress(WorkbenchError):
            release = client.releases(endpoint)[0]
            if release.replay is not None and release.version == deployed.version:
                view.sections = [replay_view(release.replay)]
    return view


@click.command()
@click.argument("name", required=False, shell_complete=endpoint_names)
@click.option("--remove", is_flag=True, help="Stop endpoint NAME permanently.")
@click.pass_obj
def endpoints(frontend: FrontEnd, name: str | None, remove: bool) -> View:
    """List endpoints, or show endpoint NAME."""
    with frontend.client() as client:
        if name is None:
            found = client.endpoints()
            return View(
                "endpoints" if found else "no endpoints yet",
                columns=("endpoint", "state", "model", "version", "requests", "errors", "p50 ms", "p99 ms", "url"),
                rows=[
                    (e.name, e.state, e.model, e.version, e.requests, e.errors, e.p50_ms, e.p99_ms, e.url)
                    for e in found
                ],
                notes=[] if found else [f"deploy a model: {frontend.prog} deploy MODEL@champion"],
                data=found,
            )
        if remove:
            client.remove_endpoint(name)
            return View(f"endpoint {name} removed")
        found_one = client.endpoint(name)
        return endpoint_view(found_one, "endpoint", next_step(frontend, client, found_one))


@click.command()
@click.argument("endpoint", shell_complete=endpoint_names)
@click.argument("data", nargs=-1, required=True, metavar="DATA")
@click.option("--event-time", default=None, help="Time of the rows' events, ISO 8601.")
@click.option("--output", "-o", default=None, type=click.Path(dir_okay=False), help="CSV file to write.")
@click.pass_obj
def predict(
    frontend: FrontEnd, endpoint: str, data: tuple[str, ...], event_time: str | None, output: str | None
) -> View:
    """Get predictions of ENDPOINT for DATA.

    DATA is an expression in a notebook, a CSV or Parquet file in a shell.
    """
    # Imported here: importing pandas takes longer than any other command.
    from mlops_workbench.client.prediction import request_predictions

    table = frontend.table(" ".join(data))
    with frontend.client() as client:
        found = client.endpoint(endpoint)
    token = frontend.workspace.settings.serving.token
    predictions = request_predictions(found, table, token=token, event_time=event_time)
    notes = []
    if output is not None:
        predictions.to_csv(output, index=False)
        notes.append(f"written to {output}")
    if len(predictions) > _SHOWN_ROWS:
        notes.append(f"showing the first {_SHOWN_ROWS} of {len(predictions):,} rows")
    shown = predictions.head(_SHOWN_ROWS)
    return View(
        f"{counted(len(predictions), 'prediction')} of {endpoint}, version {found.version}",
        columns=("row", *([f"prediction {i}" for i in shown.columns] if shown.ndim == 2 else ["prediction"])),
        rows=[
            (str(row), *(value if shown.ndim == 2 else (value,)))
            for row, value in zip(shown.index, shown.to_numpy().tolist(), strict=True)
        ],
        notes=notes,
        data=predictions,
    )


def endpoint_view(endpoint: Endpoint, done: str, notes: Sequence[str] = ()) -> View:
    """Everything about an endpoint."""
    target = f" -> {endpoint.wanted_version}" if endpoint.wanted_version != endpoint.version else ""
    facts = [
        ("state", endpoint.state),
        ("model", endpoint.model),
        ("version", f"{endpoint.version}{target}"),
        ("previous", endpoint.previous or None),
        ("digest", endpoint.digest[:12] or None),
        ("url", endpoint.url),
        ("serving since", moment(endpoint.since_ms)),
        ("requests", f"{endpoint.requests:,} ({counted(endpoint.rows, 'row')}, {counted(endpoint.errors, 'error')})"),
        ("latency", f"p50 {duration(_seconds(endpoint.p50_ms))}, p99 {duration(_seconds(endpoint.p99_ms))}"),
    ]
    if endpoint.message:
        facts.append(("message", endpoint.message))
    return View(
        f"{done} {endpoint.name}",
        facts=facts,
        notes=notes,
        data=endpoint,
    )


def next_step(frontend: FrontEnd, client: Client, endpoint: Endpoint) -> list[str]:
    """The next command, which works as it stands if there is data for it."""
    if endpoint.state != "ready":
        return []
    inputs: list[SignatureColumn] = []
    # The endpoint is ready even if the registry does not answer now.
    with contextlib.suppress(WorkbenchError):
        versions = client.versions(model_name(endpoint.model))
        inputs = next((version.inputs for version in versions if version.version == endpoint.version), inputs)
    data = frontend.data_with([column.name for column in inputs])
    shown = ", ".join(column.name for column in inputs[:_SHOWN_INPUTS])
    more = f" and {len(inputs) - _SHOWN_INPUTS} more" if len(inputs) > _SHOWN_INPUTS else ""
    about = f", with the columns {shown}{more}" if inputs and data in ("DATA", "FILE.csv") else ""
    return [f"next: {frontend.prog} predict {endpoint.name} {data}{about}"]


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


COMMANDS = (deploy, endpoints, predict)
