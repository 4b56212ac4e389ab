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
from mlops_workbench.commands.view import View
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.models import SignatureColumn, model_name
from mlops_workbench.core.shown.formats import duration, moment

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

_SHOWN_INPUTS = 8


@click.command()
@click.argument("model", metavar="MODEL[@ALIAS|/VERSION]", shell_complete=model_references)
@click.option("--name", default="", help="Name of the endpoint; by default the model's name.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port; by default any free one.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until the endpoint is ready.")
@click.pass_obj
def deploy(frontend: FrontEnd, model: str, name: str, port: int, timeout: float) -> View:
    """Serve a MODEL, by default its champion.

    With @ALIAS the endpoint follows the alias. An endpoint that exists switches to the new version.
    """
    if "@" not in model and "/" not in model:
        model = f"{model}@champion"
    endpoint = name or model_name(model)
    with frontend.client() as client:
        deployed = client.deploy(endpoint, DeployRequest(model, port), timeout=timeout)
        return endpoint_view(deployed, "deployed", next_steps(frontend, client, deployed))


@click.command()
@click.argument("name", shell_complete=endpoint_names)
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until the endpoint is ready.")
@click.pass_obj
def rollback(frontend: FrontEnd, name: str, timeout: float) -> View:
    """Return endpoint NAME to its previous version.

    An alias that the endpoint follows is moved back too.
    """
    with frontend.client() as client:
        if not any(endpoint.name == name for endpoint in client.endpoints()) and any(
            model.name == name for model in client.models()
        ):
            version = client.rollback_model(name)
            return View(f"rolled back: the champion of {name} is version {version.version}", data=version)
        returned = client.rollback(name, timeout=timeout)
        return endpoint_view(returned, "rolled back", next_steps(frontend, client, returned))


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
        ("runtime", runtime_text(endpoint) or None),
        ("workers", endpoint.workers or None),
        (
            "latency",
            ", ".join(
                f"{name} {duration(_seconds(value))}"
                for name, value in (("p50", endpoint.p50_ms), ("p95", endpoint.p95_ms), ("p99", endpoint.p99_ms))
            ),
        ),
    ]
    if endpoint.message:
        facts.append(("message", endpoint.message))
    return View(
        f"{done} {endpoint.name}",
        facts=facts,
        notes=notes,
        data=endpoint,
    )


def runtime_text(endpoint: Endpoint) -> str:
    """What answers, and why the model is not compiled."""
    return f"{endpoint.runtime} ({endpoint.uncompiled})" if endpoint.uncompiled else endpoint.runtime


def next_steps(frontend: FrontEnd, client: Client, endpoint: Endpoint) -> list[str]:
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
    notes = [f"next: {frontend.prog} predict {endpoint.name} {data}{about}"]
    if frontend.prog.startswith("%"):
        notes.append(f"a form to try it: from mlops_workbench import try_endpoint; try_endpoint({endpoint.name!r})")
    return [*notes, f"code for other clients: {frontend.prog} endpoints snippets {endpoint.name}"]


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


COMMANDS = (deploy, rollback)
