"""Commands about endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.commands.cells import counted
from mlops_workbench.commands.completion import model_references
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

_SHOWN_INPUTS = 8


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
        view = endpoint_view(deployed, "deployed", next_steps(frontend, client, deployed))
        # It is deployed, whatever becomes of this question.
        with contextlib.suppress(WorkbenchError):
            release = client.releases(endpoint)[0]
            if release.replay is not None and release.version == deployed.version:
                view.sections = [replay_view(release.replay)]
    return view


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


COMMANDS = (deploy,)
