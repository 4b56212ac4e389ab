"""Commands about the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click
import msgspec

from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.completion import names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.audit import AuditEntry, AuditReport, Checkpoint
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.shown.formats import moment

_subjects = names(
    lambda client: [*(model.name for model in client.models()), *(endpoint.name for endpoint in client.endpoints())]
)
_SHOWN = 50
_MOST_BYTES = 1 << 16
_HASH = 64


class _Audit(click.Group):
    """A group in which a word that is no command is the name of a model or an endpoint."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("audit", cls=_Audit)
def audit() -> None:
    """Show who changed models and endpoints, or verify that the record of it is whole.

    'audit NAME' shows the changes of a model or an endpoint, 'audit' those of all. 'audit show --help' lists the
    options; a model or an endpoint that is called 'verify' is shown by 'audit show verify'.
    """


@audit.command("show")
@click.argument("name", required=False, shell_complete=_subjects)
@click.option("--action", default="", help="Only these, for example model.promote.")
@click.option("--limit", default=_SHOWN, show_default=True, type=click.IntRange(1, 1000), help="Number of entries.")
@click.option("--before", default=0, type=click.IntRange(0), metavar="NUMBER", help="Only entries before this one.")
@click.pass_obj
def show_audit(frontend: FrontEnd, name: str | None, action: str, limit: int, before: int) -> View:
    """Show who changed models and endpoints, or the model or endpoint NAME, newest first."""
    with frontend.client() as client:
        found = client.audit(name or "", action=action, limit=limit, before=before)
    of = f" of {name}" if name else ""
    notes = []
    if any(entry.actor.declared for entry in found):
        notes.append("names are what the clients said of themselves: all have the same token")
    if len(found) == limit and found[-1].seq > 1:
        notes.append(f"older ones: {frontend.prog} audit show{f' {name}' if name else ''} --before {found[-1].seq}")
    return View(
        f"audit trail{of}" if found else f"no entries in the audit trail{of}",
        columns=("entry", "when", "who", "action", "what", "before", "after", "why"),
        rows=[_row(entry) for entry in found],
        notes=notes,
        data=found,
    )


@audit.command("verify")
@click.option(
    "--anchor", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="A copy of .mlops/audit/checkpoint.json, whose entry must be in the trail.",
)  # fmt: skip
@click.pass_obj
def verify_audit(frontend: FrontEnd, anchor: Path | None) -> View:
    """Verify that no entry of the audit trail was changed, removed or moved.

    Who can write the database can write the whole trail anew. Keep copies of the checkpoint somewhere else, and
    verify against one of them. The exit code is 1 if something is wrong.
    """
    known = _read_anchor(anchor) if anchor is not None else None
    with frontend.client() as client:
        return report_view(client.verify_audit(known), known)


def report_view(report: AuditReport, anchor: Checkpoint | None = None) -> View:
    """Result of a verification."""
    facts: list[tuple[str, Cell]] = [("entries", report.entries), ("hash of the last", report.head)]
    if report.first_bad:
        facts = [("first bad entry", report.first_bad), ("whole up to", report.entries), facts[1]]
    for name, known in (("checkpoint", report.checkpoint), ("anchor", anchor)):
        if known is not None:
            facts.append((name, f"entry {known.seq}" + (f", written {known.at}" if known.at else "")))
    return View(
        f"the audit trail is whole: {report.entries:,} {'entry' if report.entries == 1 else 'entries'}"
        if report.whole
        else "the audit trail is not as it was written",
        facts=facts,
        notes=report.problems,
        data=report,
        failed=not report.whole,
    )


def _row(entry: AuditEntry) -> tuple[Cell, ...]:
    subject = entry.subject
    what = f"{subject.kind} {subject.name}" + (f"/{subject.version}" if subject.version else "")
    action = entry.action if entry.outcome == "done" else f"{entry.action} ({entry.outcome})"
    before, after = _changed(entry.before, entry.after)
    who = f"{entry.actor.name} ({entry.actor.source})"
    return (entry.seq, _moment(entry.at), who, action, what, before, after, entry.reason or None)


def _changed(before: Mapping[str, int | str], after: Mapping[str, int | str]) -> tuple[str | None, str | None]:
    """Both states without what is the same in both; a version of 0 is none."""

    def shown(state: Mapping[str, int | str], other: Mapping[str, int | str]) -> str | None:
        parts = [f"{name} {value}" for name, value in state.items() if value and other.get(name) != value]
        return ", ".join(parts) or None

    return shown(before, after), shown(after, before)


def _moment(at: str) -> str:
    return moment(round(datetime.fromisoformat(at).timestamp() * 1000))


def _read_anchor(file: Path) -> Checkpoint:
    try:
        with open(file, "rb") as content:
            # A checkpoint is small; a device has no end.
            found = msgspec.json.decode(content.read(_MOST_BYTES), type=Checkpoint)
    except OSError as error:
        raise InvalidInput(f"cannot read the anchor: {error.strerror or error}", where=str(file)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(
            f"this is no checkpoint: {error}", where=str(file), hint="give a copy of .mlops/audit/checkpoint.json"
        ) from error
    if not (0 < found.seq < 10**9 and len(found.hash) == _HASH and set(found.hash) <= set("0123456789abcdef")):
        raise InvalidInput("this is no checkpoint: it has no number and SHA-256 of an entry", where=str(file))
    return found


COMMANDS = (audit,)
