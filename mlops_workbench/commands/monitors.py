"""Commands about monitors and alerts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from mlops_workbench.commands.cells import Cell, counted, metric_cell
from mlops_workbench.commands.completion import endpoint_names, pipeline_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.monitor_plots import windows_figure
from mlops_workbench.commands.values import parse_assignments
from mlops_workbench.commands.view import Plot, View
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.monitors import Alert, MonitorReport, MonitorSpec, Window
from mlops_workbench.core.shown.formats import moment, share

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client


@click.command()
@click.argument("endpoint", required=False, shell_complete=endpoint_names)
@click.option("--window", help="Window: month, day, hour, or a number of rows.")
@click.option("--metric", help="mae, rmse, r2, accuracy or f1.")
@click.option("--max-degradation", type=float, help="Relative loss of quality that raises an alert, for example 0.1.")
@click.option("--pipeline", shell_complete=pipeline_names, help="Pipeline that an alert starts.")
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE",
    help="Parameter of that pipeline; {start} and {end} are replaced by the dates of the alerting windows. Repeatable.",
)  # fmt: skip
@click.option("--on/--off", "enabled", default=None, help="Evaluate regularly, or only by this command.")
@click.pass_obj
def monitor(
    frontend: FrontEnd,
    endpoint: str | None,
    window: str | None,
    metric: str | None,
    max_degradation: float | None,
    pipeline: str | None,
    params: tuple[str, ...],
    enabled: bool | None,
) -> View:
    """Evaluate the monitor of ENDPOINT now and show it, or list all monitors.

    Options change the monitor before it is evaluated.
    """
    with frontend.client() as client:
        if endpoint is None:
            return _list(client)
        changes: dict[str, object] = {
            "window": window, "metric": metric, "max_degradation": max_degradation, "pipeline": pipeline,
            "params": parse_assignments(params) or None, "enabled": enabled,
        }  # fmt: skip
        given = {name: value for name, value in changes.items() if value is not None}
        if given:
            client.put_monitor(dataclasses.replace(_spec(client, endpoint), **given))
        return report_view(client.evaluate_monitor(endpoint))


@click.command()
@click.argument("endpoint", required=False, shell_complete=endpoint_names)
@click.pass_obj
def alerts(frontend: FrontEnd, endpoint: str | None) -> View:
    """List alerts, newest first."""
    with frontend.client() as client:
        return alerts_view(client.alerts(endpoint))


def report_view(report: MonitorReport) -> View:
    """Windows and alerts of a monitor."""
    spec = report.spec
    rows: list[list[Cell]] = [
        [w.label, w.rows, ", ".join(map(str, w.versions)), metric_cell(w.quality), metric_cell(w.reference_quality),
         share(w.coverage), "degraded" if w.degraded else "", _drift(w), w.note or None]
        for w in report.windows
    ]  # fmt: skip
    return View(
        f"monitor of {spec.endpoint}",
        facts=[("window", _window(spec)),
               ("on alert", f"pipeline {spec.pipeline} starts" if spec.pipeline else "no pipeline starts"),
               ("evaluated", moment(report.evaluated_ms))],
        columns=("window", "rows", "version", spec.metric, "reference", "labelled", "quality", "drift", "note"),
        rows=rows,
        sections=[alerts_view(report.alerts)] if report.alerts else [],
        notes=[] if rows else ["no predictions logged yet"],
        data=report,
        plots=[Plot(f"monitor of {report.spec.endpoint}", lambda: windows_figure(report))] if rows else [],
    )  # fmt: skip


def alerts_view(found: list[Alert]) -> View:
    """Alerts as a table."""
    return View(
        "alerts" if found else "no alerts",
        columns=("raised", "endpoint", "version", "kind", "window", "message", "pipeline run", "state"),
        rows=[
            (moment(a.at_ms), a.endpoint, a.version, a.kind, a.window, a.message, short_id(a.pipeline_run) or None,
             "resolved" if a.resolved_ms else "open")
            for a in found
        ],
        data=found,
    )  # fmt: skip


def _list(client: Client) -> View:
    found = client.monitors()
    return View(
        "monitors" if found else "no monitors yet",
        columns=("endpoint", "window", "metric", "windows", "open alerts", "pipeline on alert"),
        rows=[
            (m.spec.endpoint, _window(m.spec), m.spec.metric, len(m.windows),
             sum(not a.resolved_ms for a in m.alerts), m.spec.pipeline or None)
            for m in found
        ],
        notes=[] if found else ["deploying an endpoint creates its monitor"],
        data=found,
    )  # fmt: skip


def _spec(client: Client, endpoint: str) -> MonitorSpec:
    known = [report.spec for report in client.monitors() if report.spec.endpoint == endpoint]
    return known[0] if known else MonitorSpec(endpoint)


def _window(spec: MonitorSpec) -> str:
    return counted(int(spec.window), "row") if spec.window.isdecimal() else spec.window


def _drift(window: Window) -> str:
    drifted = [feature.name for feature in window.features if feature.drifted]
    return ", ".join(drifted[:4]) + (f" and {len(drifted) - 4} more" if len(drifted) > 4 else "")


COMMANDS = (monitor, alerts)
