"""Commands about what is removed by the rule in ``[retention]``."""

from __future__ import annotations

import click

from mlops_workbench.commands.cells import Cell, counted
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.retention import RetentionPart, RetentionReport
from mlops_workbench.core.shown.formats import moment, number

_UNITS = ("B", "kB", "MB", "GB", "TB")


@click.command()
@click.option("--yes", is_flag=True, help="Remove it; otherwise it is only shown.")
@click.pass_obj
def clean(frontend: FrontEnd, yes: bool) -> View:
    """Show what the rule in [retention] of workbench.toml removes, and why the rest stays.

    Runs stay in MLflow; only their files on this machine are removed.
    """
    with frontend.client() as client:
        return report_view(client.apply_retention() if yes else client.retention())


@click.command()
@click.argument("run")
@click.option("--off", is_flag=True, help="Leave its files to the rule again.")
@click.pass_obj
def keep(frontend: FrontEnd, run: str, off: bool) -> View:
    """Keep the files of RUN and of its parts from the rule in [retention]."""
    with frontend.client() as client:
        # By its uid: the newest run of this name may be another one a moment later.
        found = client.keep_run(client.run(run).run.uid, kept=not off)
    title = f"the files of {found.name} are {'kept' if found.kept else 'left to the rule'}"
    return View(title, facts=[("run", found.uid)], data=found)


def report_view(report: RetentionReport) -> View:
    """What goes and what stays, by kind."""
    rows: list[list[Cell]] = [
        [part.kind, part.rule, part.count, size(part.size), "; ".join(_staying(part)) or None] for part in report.parts
    ]
    total = sum(part.size for part in report.parts)
    done = "removed" if report.removed else "would be removed"
    return View(
        f"{counted(sum(part.count for part in report.parts), 'item')} {done}: {size(total)}"
        if total
        else f"nothing {'was' if report.removed else 'would be'} removed",
        facts=[("as of", moment(report.at_ms))],
        columns=("kind", "rule", "removed" if report.removed else "to remove", "size", "what stays, and why"),
        rows=rows,
        sections=[
            View(
                f"the largest: {part.kind}",
                columns=("what", "size", "reason"),
                rows=[(one.title, size(one.size), one.reason) for one in part.examples],
                folded=True,
            )
            for part in report.parts
            if part.examples
        ],
        notes=[*report.problems, *_notes(report, total)],
        data=report,
        failed=bool(report.problems),
    )


def size(count: int) -> str:
    """Bytes as text: ``3.2 MB``."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{number(value, 3)} {_UNITS[unit]}"


def _staying(part: RetentionPart) -> list[str]:
    return [f"{one.reason}: {one.count:,} ({size(one.size)})" for one in part.staying]


def _notes(report: RetentionReport, total: int) -> list[str]:
    notes = []
    if not report.rule_is_set:
        notes.append("no limit is set: [retention] in workbench.toml, for example runs_days = 90")
    if total and not report.removed:
        notes.append("'mlops clean --yes' removes it; 'mlops keep RUN' keeps the files of a run")
    return notes


COMMANDS = (clean, keep)
