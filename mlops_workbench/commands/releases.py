"""What was in production when, why and by whom."""

from __future__ import annotations

from datetime import datetime

import click

from mlops_workbench.commands.completion import endpoint_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.moments import Span, span_of
from mlops_workbench.core.releases import Release, ReplayReport
from mlops_workbench.core.shown.formats import moment, number, share

_KINDS = {"deploy": "deployed", "rollback": "rolled back", "alias": "alias moved", "again": "registered again",
          "remove": "removed", "": "not known"}  # fmt: skip


@click.command()
@click.argument("name", shell_complete=endpoint_names)
@click.option(
    "--at",
    default="",
    metavar="WHEN",
    help="Only what answered then: 'last tuesday', 'yesterday', '2 days ago', '2026-11-01 14:00' (local time).",
)
@click.pass_obj
def releases(frontend: FrontEnd, name: str, at: str) -> View:
    """Show what endpoint NAME served when, why and by whom, also of an endpoint that was removed."""
    span = span_of(at, datetime.now()) if at else None
    with frontend.client() as client:
        found = client.releases(name)
    if span is None:
        return _view(f"releases of {name}", found)
    then = [release for release in found if answered(release, span)]
    title = f"{name}, {span.text}" if then else f"{name} answered no requests {span.text}, as far as is known"
    return _view(title, then)


def _view(title: str, found: list[Release]) -> View:
    replayed = [release for release in found if release.replay is not None]
    notes = [] if len(replayed) < 2 else ["--json has the replays before the earlier switches"]
    return View(
        title,
        columns=("version", "from", "until", "why", "reason", "by", "decided", "replay", "quarantine"),
        rows=[
            (r.version or None, moment(r.from_ms), "now" if r.from_ms and not r.until_ms else moment(r.until_ms),
             _KINDS[r.kind], r.reason or None, r.by or None, moment(r.at_ms),
             replay_text(r.replay) if r.replay is not None else None,
             r.quarantine.reason if r.quarantine is not None else None)
            for r in found
        ],
        sections=[replay_view(r.replay) for r in replayed[:1] if r.replay is not None],
        notes=notes,
        data=found,
    )  # fmt: skip


def answered(release: Release, span: Span) -> bool:
    """Whether a release answered requests at a time."""
    if not release.from_ms or release.from_ms > span.last_ms:
        return False
    return not release.until_ms or release.until_ms > span.first_ms


def replay_text(report: ReplayReport) -> str:
    """A replay in a few words."""
    if report.problem:
        return "not replayed"
    if not report.compared:
        return f"{report.errors:,} errors" if report.errors else "nothing to compare"
    errors = f", {report.errors:,} errors" if report.errors else ""
    return f"{share(report.agree / report.compared, 1)} the same of {report.compared:,}{errors}"


def replay_view(report: ReplayReport) -> View:
    """A replay before a switch, with the rows that differ most."""
    against = ", ".join(map(str, report.against))
    facts: list[tuple[str, str | int | float | None]] = [("rows compared", report.compared)]
    if report.compared:
        facts += [
            ("same answer", share(report.agree / report.compared, 1)),
            ("mean difference", number(report.mean_difference)),
            ("largest difference", number(report.max_difference)),
        ]
    if report.errors:
        facts.append(("without an answer", f"{report.errors:,}: {'; '.join(report.problems)}"))
    if report.left_out:
        facts.append(("left out", f"{report.left_out:,}: {report.why_left_out}"))
    if report.problem:
        facts.append(("not replayed", report.problem))
    if report.refused:
        facts.append(("refused", report.refused))
    inputs = list(dict.fromkeys(name for row in report.differ for name in row.inputs))
    return View(
        f"replay before the switch: logged requests of {report.endpoint} answered by version {report.version}"
        + (f", compared with version {against}" if against else ""),
        columns=("request", "row", f"version {against}", f"version {report.version}", "difference", *inputs),
        rows=[
            (row.request_id, row.row, row.before, row.after, number(row.difference),
             *(row.inputs.get(name) for name in inputs))
            for row in report.differ
        ],
        facts=facts,
        data=report,
    )  # fmt: skip


COMMANDS = (releases,)
