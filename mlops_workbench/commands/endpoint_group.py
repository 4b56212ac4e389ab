"""``endpoints``: their table, one of them, its log, and code that asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from mlops_workbench.client.bodies import MOST_LOG_LINES
from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.completion import endpoint_names
from mlops_workbench.commands.endpoints import endpoint_view, next_steps
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import WorkbenchError

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client
    from mlops_workbench.core.endpoints import Endpoint
    from mlops_workbench.core.monitors import MonitorReport

_FOLLOW_SECONDS = 1.0
_COLUMNS = (
    *("endpoint", "state", "model", "version", "runtime", "workers", "requests/s", "p50 ms", "p95 ms", "p99 ms"),
    *("requests", "errors", "drift", "url"),
)
_SHOW = "show"


class _Endpoints(click.Group):
    """A group in which a word that is no command is the name of an endpoint."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = [_SHOW, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = endpoint_names(ctx, click.Argument(["name"]), incomplete)
        return [*(CompletionItem(name) for name in names), *super().shell_complete(ctx, incomplete)]


@click.group(cls=_Endpoints)
def endpoints() -> None:
    """List endpoints, or show endpoint NAME, its log, or code that asks it.

    'endpoints' lists all, 'endpoints NAME' shows one, 'endpoints NAME --remove' stops it permanently.
    """


@endpoints.command(_SHOW)
@click.argument("name", required=False, shell_complete=endpoint_names)
@click.option("--remove", is_flag=True, help="Stop endpoint NAME permanently.")
@click.pass_obj
def show(frontend: FrontEnd, name: str | None, remove: bool) -> View:
    """List endpoints, or show endpoint NAME."""
    with frontend.client() as client:
        if name is None:
            return replace(table(client, frontend.prog), refresh=lambda: _again(frontend))
        if remove:
            client.remove_endpoint(name)
            return View(f"endpoint {name} removed")
        found = client.endpoint(name)
        return endpoint_view(found, "endpoint", next_steps(frontend, client, found))


@endpoints.command()
@click.argument("name", shell_complete=endpoint_names)
@click.option(
    "-n",
    "--lines",
    default=50,
    show_default=True,
    type=click.IntRange(1, MOST_LOG_LINES),
    help="Most lines from the end of the log.",
)
@click.option("--follow", "-f", is_flag=True, help="Print new lines as they come, until Ctrl-C.")
@click.pass_obj
def logs(frontend: FrontEnd, name: str, lines: int, follow: bool) -> View:
    """Show the log of the process of endpoint NAME."""
    with frontend.client() as client:
        found = client.endpoint_log(name, lines)
        if follow:
            try:
                text = found.text
                while True:
                    if text:
                        frontend.progress(text.rstrip("\n"))
                    else:
                        time.sleep(_FOLLOW_SECONDS)
                    found = client.endpoint_log(name, MOST_LOG_LINES, found.end)
                    text = found.text
            except KeyboardInterrupt:
                return View(f"log of endpoint {name}", notes=["not followed any more"], data=found)
    notes = [] if found.text else ["the log is empty"]
    return View(f"log of endpoint {name}", block=found.text.rstrip("\n"), notes=notes, data=found)


@endpoints.command()
@click.argument("name", shell_complete=endpoint_names)
@click.option(
    "--for",
    "client_name",
    type=click.Choice(["curl", "python", "httpx", "mlflow", "kserve", "triton"]),
    help="Only the code for one client.",
)
@click.pass_obj
def snippets(frontend: FrontEnd, name: str, client_name: str | None) -> View:
    """Show code that asks endpoint NAME about its example row, for curl, Python, MLflow, KServe and Triton."""
    from mlops_workbench.client.examples import endpoint_example
    from mlops_workbench.commands.snippets import snippets_of

    with frontend.client() as client:
        found = client.endpoint(name)
    token = frontend.workspace.settings.serving.token
    example = endpoint_example(found, token=token)
    made = snippets_of(found.name, found.url, example, has_token=bool(token))
    chosen = made if client_name is None else {client_name: made[client_name]}
    notes = ["the variable MLOPS_SERVING_TOKEN holds the endpoint's token"] if token else []
    return View(
        f"code that asks endpoint {name}",
        sections=[View(client, block=code) for client, code in chosen.items()],
        notes=notes,
        data=chosen,
    )


def table(client: Client, prog: str) -> View:
    """All endpoints."""
    found = client.endpoints()
    monitors = {}
    try:
        monitors = {report.spec.endpoint: report for report in client.monitors()} if found else {}
    except WorkbenchError:
        # The table of endpoints is needed most when something else is broken.
        monitors = {}
    return View(
        "endpoints" if found else "no endpoints yet",
        columns=_COLUMNS,
        rows=[_row(one, monitors.get(one.name)) for one in found],
        notes=_notes(found) if found else [f"deploy a model: {prog} deploy MODEL@champion"],
        data=found,
    )


def _again(frontend: FrontEnd) -> View:
    with frontend.client() as client:
        return table(client, frontend.prog)


def _row(one: Endpoint, monitor: MonitorReport | None) -> Sequence[Cell]:
    return (
        *(one.name, one.state, one.model, one.version, one.runtime or None, one.workers or None, one.rate),
        *(one.p50_ms, one.p95_ms, one.p99_ms, one.requests, one.errors, _drift(monitor), one.url),
    )


def _notes(found: Sequence[Endpoint]) -> list[str]:
    notes = [f"{one.name}: {one.message}" for one in found if one.message]
    return notes + [f"{one.name} is not compiled: {one.uncompiled}" for one in found if one.uncompiled]


def _drift(report: MonitorReport | None) -> str | None:
    """What the monitor of an endpoint says: an open alert, or the last window alone."""
    if report is None:
        return None
    if any(not alert.resolved_ms for alert in report.alerts):
        return "alert"
    if not report.windows:
        return "no window yet"
    last = report.windows[-1]
    return "drifted" if last.drifted else "degraded" if last.degraded else "no"


COMMANDS = (endpoints,)
