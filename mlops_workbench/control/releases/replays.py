"""The replay before a switch: logged requests of an endpoint, answered by the version that it shall serve."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import ReplayRow
from mlops_workbench.core.errors import GateFailed, StorageError, Unavailable
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.releases import ReplayReport
from mlops_workbench.core.settings import GateSettings
from mlops_workbench.core.shown.formats import number, share
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.runtimes.trial import RunDry

#: Longest time in seconds, in which the libraries are imported: the request that asks for it waits.
_SECONDS = 30.0


class Replays:
    """Replays requests and keeps the reports.

    Parameters
    ----------
    workspace : Workspace
        Has the prediction logs and the settings.
    database : Database
        Gets the reports.
    export : callable
        Folder with the files of a version of a model.
    run_dry : callable
        Lets the version in such a folder answer.
    """

    def __init__(
        self, workspace: Workspace, database: Database, export: Callable[[str, int], Path], run_dry: RunDry
    ) -> None:
        self._workspace = workspace
        self._database = database
        self._export = export
        self._run_dry = run_dry

    def make(self, endpoint: str, model: str, version: int, present: int) -> tuple[int, ReplayReport] | None:
        """Let a version answer the last logged requests of an endpoint.

        Parameters
        ----------
        endpoint : str
            The endpoint.
        model, version
            The candidate.
        present : int
            The version that the endpoint serves now; its answers are compared, if there are any.

        Returns
        -------
        int
            Id of the report.
        ReplayReport
            What came of it, whether the switch is refused included. None if nothing is logged, or no replay is wanted.
        """
        settings = self._workspace.latest()
        folder = self._workspace.predictions / f"endpoint={endpoint}"
        if not settings.gates.replay_rows or present == version or not folder.is_dir():
            return None
        # Imported here: with Arrow, DuckDB and NumPy it takes longer than the control plane's start.
        from mlops_workbench.monitoring.recent import replay_logged

        try:
            exported = self._export(model, version)
        except (StorageError, Unavailable) as error:
            report: ReplayReport | None = ReplayReport(problem=error.message)
        else:
            report = replay_logged(
                (self._workspace.predictions, self._workspace.feedback, endpoint), model, present,
                settings.gates.replay_rows, exported, settings, self._run_dry, _SECONDS,
            )  # fmt: skip
        if report is None:
            return None
        report = dataclasses.replace(report, endpoint=endpoint, model=model, version=version, at_ms=now_ms())
        report = dataclasses.replace(report, refused=_refused(report, settings.gates))
        with self._database.change() as session:
            row = ReplayRow(
                endpoint=endpoint, model=model, version=version, at_ms=report.at_ms, report=msgspec.to_builtins(report)
            )
            session.add(row)
            session.flush()
            return row.id, report


def last_replay(session: Session, endpoint: str, model: str, version: int) -> int:
    """Id of the last replay of a version before it was served by an endpoint, 0 for none."""
    query = select(ReplayRow.id).where(
        ReplayRow.endpoint == endpoint, ReplayRow.model == model, ReplayRow.version == version
    )
    return session.scalar(query.order_by(ReplayRow.id.desc()).limit(1)) or 0


def _refused(report: ReplayReport, gates: GateSettings) -> str:
    if gates.replay_errors and report.errors:
        first = f": {report.problems[0]}" if report.problems else ""
        return f"it fails on {report.errors:,} of {report.rows:,} rows that were answered{first}"
    if report.compared and report.agree < gates.replay_agree * report.compared:
        found, least = share(report.agree / report.compared, 2), share(gates.replay_agree, 2)
        return f"it gives the same answer to {found} of the rows, and [gates] replay_agree asks for {least}"
    return ""


def replay_check(report: ReplayReport) -> GateCheck:
    """A replay as a check of a gate."""
    return GateCheck(
        f"replay of logged requests of endpoint '{report.endpoint}'", not report.refused, outcome(report), "replay"
    )


def outcome(report: ReplayReport) -> str:
    """A replay in one line."""
    if report.problem:
        return f"not replayed: {report.problem}"
    parts = [report.refused] if report.refused else []
    if report.compared:
        same = share(report.agree / report.compared, 1)
        parts.append(f"{report.compared:,} rows compared, {same} with the same answer")
    if report.max_difference is not None:
        parts.append(f"difference {number(report.mean_difference)} on average, {number(report.max_difference)} at most")
    if report.errors and not report.refused:
        parts.append(f"{report.errors:,} without an answer")
    if report.left_out:
        parts.append(f"{report.left_out:,} left out: {report.why_left_out}")
    return "; ".join(parts)


def not_served(report: ReplayReport, reference: str, present: int) -> GateFailed:
    """The error of a deployment that a replay refuses."""
    name = report.endpoint
    return GateFailed(
        f"{report.model}/{report.version} is not served as '{name}': {outcome(report)}",
        hint=f"endpoint '{name}' serves version {present} as before. To serve this one nevertheless: "
        f"mlops deploy {reference} --name {name} --override REASON",
    )
