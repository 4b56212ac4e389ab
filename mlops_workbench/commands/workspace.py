"""Commands about the workspace and its processes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from mlops_workbench.client.launch import ensure_running, find_running, log_file, read_address
from mlops_workbench.commands.cells import counted
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.events import WorkspaceStatus
from mlops_workbench.core.shown.formats import duration, moment
from mlops_workbench.core.workspace import FILE, Workspace


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> View:
    """Create a workspace in FOLDER, by default the current one.

    Writes workbench.toml, in which every setting is explained.
    """
    existed = (folder / FILE).exists()
    from mlops_workbench.pipelines.definition.schema import write_schema

    workspace = Workspace.init(folder)
    write_schema(workspace)
    return View(
        f"{'already a workspace' if existed else 'new workspace'}: {workspace.root}",
        facts=[("settings", str(workspace.root / FILE)), ("state", str(workspace.state))],
        notes=["next: in a notebook, %mlops experiment NAME, then start a cell with %%track"],
        data={"root": str(workspace.root)},
    )


@click.command()
@click.option("--host", help="Address to listen on; by default only this machine can connect.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free port.")
@click.pass_obj
def up(frontend: FrontEnd, host: str | None, port: int | None) -> View:
    """Start the control plane and its endpoints; no effect if it already runs."""
    options = [f"--{name}={value}" for name, value in (("host", host), ("port", port)) if value is not None]
    running = find_running(frontend.workspace) is not None
    ensure_running(frontend.workspace, options)
    with frontend.client() as client:
        view = status_view(client.status())
    if running and options:
        view.notes = ["it was already running; run 'mlops down' before you change the host or port"]
    return view


@click.command()
@click.option("--keep-endpoints", is_flag=True, help="Leave the endpoints running.")
@click.pass_obj
def down(frontend: FrontEnd, keep_endpoints: bool) -> View:
    """Stop the control plane and the endpoints; 'mlops up' starts them again."""
    from mlops_workbench.client.client import Client

    address = read_address(frontend.workspace)
    try:
        client = Client.connect(frontend.workspace, start=False)
    except Unavailable:
        return _stop_orphans(frontend, keep_endpoints)
    with client:
        running = [run for run in client.pipeline_runs(50) if run.state in ("pending", "running")]
        client.shutdown(keep_endpoints=keep_endpoints)
    deadline = time.monotonic() + 60
    while address is not None and address.process.alive():
        if time.monotonic() > deadline:
            raise Unavailable(
                "the control plane does not stop", where=str(log_file(frontend.workspace)), hint="see its log"
            )
        time.sleep(0.05)
    notes = [f"still running: {counted(len(running), 'pipeline run')}"] if running else []
    return View(
        "control plane stopped" + (", endpoints still running" if keep_endpoints else ""),
        notes=notes,
        data={"stopped": True},
    )


def _stop_orphans(frontend: FrontEnd, keep_endpoints: bool) -> View:
    # Endpoints survive a control plane that was killed; 'down' stops them too.
    from mlops_workbench.deployments import Supervisor

    supervisor = Supervisor(frontend.workspace)
    names = sorted(supervisor.running())
    if names and not keep_endpoints:
        supervisor.stop_all()
        return View(f"no control plane runs; stopped its endpoints: {', '.join(names)}", data={"stopped": True})
    notes = [f"endpoints still running: {', '.join(names)}"] if names else []
    return View("no control plane runs", notes=notes, data={"stopped": False})


@click.command()
@click.pass_obj
def status(frontend: FrontEnd) -> View:
    """Show processes, delivery, and counts of runs, models and endpoints."""
    from mlops_workbench.client.client import Client

    try:
        with Client.connect(frontend.workspace, start=False) as client:
            return status_view(client.status())
    except Unavailable as error:
        return View(
            f"workspace {frontend.workspace.root}",
            facts=[("control plane", "not running")],
            notes=["'mlops up' starts it; commands that need it start it automatically"],
            data={"running": False, "problem": error.message},
        )


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is waiting, then exit.")
@click.pass_obj
def ingest(frontend: FrontEnd, once: bool) -> View:
    """Deliver this machine's journals to the tracking store without a control plane."""
    # Imported here: no other command needs the store, which takes seconds to import.
    import threading

    from mlops_workbench.tracking import Ingest

    delivery = Ingest(frontend.workspace)
    if once:
        # A store that does not respond for a minute is treated as down.
        delivery.drain(None, 3600, patience=60)
    else:
        frontend.progress(f"delivering journals of {frontend.workspace.root}; stop with Ctrl-C")
        stop = threading.Event()
        try:
            delivery.run_forever(stop)
        except KeyboardInterrupt:
            stop.set()
    state = delivery.status()
    if state.problem:
        raise WorkbenchError(state.problem, where=state.tracking, hint="no data is lost; run the command again later")
    return View("journals delivered", facts=[("tracking", state.tracking), ("backlog", f"{state.backlog_bytes} bytes")])


def status_view(state: WorkspaceStatus) -> View:
    """Processes, delivery and counts."""
    delivery = state.ingest
    backlog = (
        f"{counted(delivery.backlog_records, 'record')} ({delivery.backlog_bytes:,} bytes) waiting,"
        f" the oldest for {duration(delivery.lag_seconds)}"
        if delivery.backlog_bytes
        else ""
    )
    refused = f"{counted(delivery.refused, 'value')}, kept in the journal" if delivery.refused else ""
    return View(
        f"workspace {state.root}",
        facts=[
            ("tracking", delivery.tracking),
            ("delivery", "; ".join(filter(None, (delivery.problem, backlog))) or "up to date"),
            *([("refused by MLflow", refused)] if refused else []),
            ("running since", moment(state.started_ms)),
            ("runs", f"{state.runs}, and new ones are being read" if delivery.catching_up else state.runs),
            ("models", state.models),
            ("endpoints", state.endpoints),
            ("open alerts", state.open_alerts),
        ],
        columns=("process", "pid", "state", "url"),
        rows=[(process.role, str(process.pid), process.state, process.url) for process in state.processes],
        data=state,
    )


COMMANDS = (init, up, down, status, ingest)
