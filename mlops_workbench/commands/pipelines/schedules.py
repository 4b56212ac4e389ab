"""Commands about what starts by itself."""

from __future__ import annotations

import os
from pathlib import Path

import click
import yaml

from mlops_workbench.commands.completion import names, pipeline_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.values import parse_assignments
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError
from mlops_workbench.core.ids import check_name, short_id
from mlops_workbench.core.schedules import Occasion, Schedule
from mlops_workbench.core.shown.formats import moment

#: Times that are shown after a schedule was set.
_SHOWN_TIMES = 3
_schedule_names = names(lambda client: [schedule.name for schedule in client.schedules()])


@click.command("schedule")
@click.argument("target", metavar="NOTEBOOK|PIPELINE", shell_complete=pipeline_names)
@click.argument("cron", required=False)
@click.option("--tz", "zone", help="Time zone, such as Europe/Berlin; by default UTC.")
@click.option(
    "--catchup", type=click.Choice(["skip", "once", "all"]),
    help="What happens with times that were missed: nothing (the default), one run, or a run for each.",
)  # fmt: skip
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Of a notebook: parameter; repeatable."
)
@click.option("--name", help="Of a notebook: name of the schedule; by default that of the notebook.")
@click.option("--remove", is_flag=True, help="Remove the schedule.")
@click.pass_obj
def set_schedule(
    frontend: FrontEnd,
    target: str,
    cron: str | None,
    zone: str | None,
    catchup: str | None,
    params: tuple[str, ...],
    name: str | None,
    remove: bool,
) -> View:
    """Run a notebook or a pipeline at the times of CRON: '0 6 * * 1' is every Monday at 6:00.

    The schedule of a notebook is written to schedules.yaml in the workspace, that of a pipeline to its file below 'on'.
    The control plane, which must run, starts it.
    """
    from mlops_workbench.pipelines.plan.specs import spec_files

    if (cron is None) != remove:
        raise InvalidInput("give the times, or --remove", hint=f"{frontend.prog} schedule {target} '0 6 * * 1'")
    given = {"cron": cron, "timezone": zone, "catchup": catchup}
    settings = {key: value for key, value in given.items() if value is not None}
    spec = spec_files(frontend.workspace).get(target)
    if spec is None:
        path, label, text = _notebook(frontend, target, settings, params, name, remove=remove)
    elif params or name:
        hint = f"give its parameters defaults in {spec.name}; its schedule has its name"
        raise InvalidInput("-p and --name are for notebooks", hint=hint)
    else:
        path, label, text = _pipeline(spec, target, settings, remove=remove)
    _write(path, text)
    shown = os.path.relpath(path, frontend.workspace.root)
    if remove:
        return View(f"{label} has no schedule any more: {shown} was changed", data={"path": str(path)})
    # It is started, since nothing else starts a run.
    with frontend.client():
        pass
    times = _next_times(path, target if spec is not None else label, is_spec=spec is not None)
    return View(
        f"{label} starts by itself: {shown} was changed",
        facts=[("next", ", ".join(times) or "never")],
        notes=[f"next: {frontend.prog} schedules"],
        data={"path": str(path), "name": label, "next": times},
    )


def _pipeline(path: Path, target: str, settings: dict[str, str], *, remove: bool) -> tuple[Path, str, str]:
    from mlops_workbench.pipelines.definition.yaml_nodes import read_text
    from mlops_workbench.pipelines.triggers.edit import schedule_pipeline, unschedule_pipeline

    before = read_text(path)
    return path, target, unschedule_pipeline(before, path) if remove else schedule_pipeline(before, path, settings)


def _notebook(
    frontend: FrontEnd,
    target: str,
    settings: dict[str, str],
    params: tuple[str, ...],
    name: str | None,
    *,
    remove: bool,
) -> tuple[Path, str, str]:
    from mlops_workbench.pipelines.definition.yaml_edits import quoted
    from mlops_workbench.pipelines.definition.yaml_nodes import read_text
    from mlops_workbench.pipelines.execution.notebook_run import NotebookOptions, plan_notebook
    from mlops_workbench.pipelines.plan.files import notebook_facts
    from mlops_workbench.pipelines.plan.specs import spec_files
    from mlops_workbench.pipelines.triggers.edit import schedule_notebook, unschedule_notebook
    from mlops_workbench.pipelines.triggers.notebooks import SCHEDULES_FILE

    root = frontend.workspace.root
    path = root / SCHEDULES_FILE
    before = read_text(path) if path.exists() else ""
    notebook = Path(os.path.abspath(target))
    label = name or notebook.stem
    if remove:
        return path, label, unschedule_notebook(before, path, label)
    if not notebook.is_file():
        hint = f"'{frontend.prog} pipeline' lists the pipelines"
        raise NotFound(f"there is neither a notebook nor a pipeline '{target}'", hint=hint)
    if not notebook.is_relative_to(root):
        raise InvalidInput(f"'{target}' is outside the workspace", hint=f"move it into {root}")
    check_name("schedule", label)
    if label in spec_files(frontend.workspace):
        raise InvalidInput(f"there is a pipeline '{label}'", hint="give the schedule another name by --name")
    values = parse_assignments(params)
    facts = notebook_facts(notebook)
    if isinstance(facts, WorkbenchError):
        raise facts
    plan_notebook(facts, NotebookOptions(values))
    entries = {"notebook": quoted(str(notebook.relative_to(root))), "cron": quoted(settings["cron"])}
    entries |= {key: quoted(value) for key, value in settings.items() if key != "cron"}
    if values:
        entries["params"] = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, width=10**6).strip()
    return path, label, schedule_notebook(before, path, label, entries)


def _write(path: Path, text: str) -> None:
    from mlops_workbench.core.files import write_atomic

    write_atomic(path, text, mode=path.stat().st_mode & 0o777 if path.exists() else 0o644)


def _next_times(path: Path, name: str, *, is_spec: bool) -> list[str]:
    from datetime import UTC, datetime
    from itertools import islice
    from zoneinfo import ZoneInfo

    from mlops_workbench.pipelines.definition.file import read_spec
    from mlops_workbench.pipelines.definition.yaml_nodes import read_text
    from mlops_workbench.pipelines.triggers.cron import Cron
    from mlops_workbench.pipelines.triggers.notebooks import parse_schedules
    from mlops_workbench.pipelines.triggers.targets import target_of_spec

    targets = [target_of_spec(read_spec(path))] if is_spec else parse_schedules(read_text(path), path)
    found = next(target for target in targets if target.name == name)
    settings = next(trigger.settings for trigger in found.triggers if trigger.kind == "schedule")
    zone = ZoneInfo(str(settings["timezone"]))
    times = islice(Cron(str(settings["cron"]), zone.key).after(datetime.now(UTC)), _SHOWN_TIMES)
    return [at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M %Z") for at in times]


@click.group("schedules", invoke_without_command=True)
@click.pass_context
def schedules(context: click.Context) -> View | None:
    """List what starts by itself; pause and resume it; say why it ran or did not.

    Without a command, lists all pipelines and notebooks that start by themselves.
    """
    return _list(context.obj) if context.invoked_subcommand is None else None


def _list(frontend: FrontEnd) -> View:
    with frontend.client() as client:
        found = client.schedules()
    problems = [f"{schedule.path}: {schedule.problem}" for schedule in found if schedule.problem]
    problems += [f"{s.name}: {trigger.problem}" for s in found for trigger in s.triggers if trigger.problem]
    add = f"{frontend.prog} schedule NOTEBOOK '0 6 * * 1' --tz Europe/Berlin adds one"
    return View(
        "schedules" if found else "nothing starts by itself yet",
        columns=("name", "kind", "starts on", "next", "last", "state"),
        rows=[
            (s.name, s.kind, _triggers(s), moment(s.next_ms) if s.next_ms else None, _last(s), _state(s)) for s in found
        ],
        notes=problems if found else [add],
        data=found,
    )


@schedules.command("why")
@click.argument("name", shell_complete=_schedule_names)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most rows, newest first.")
@click.pass_obj
def why(frontend: FrontEnd, name: str, limit: int) -> View:
    """Say why NAME was started, and why not, newest first."""
    with frontend.client() as client:
        found = client.occasions(name, limit)
    return View(
        f"what happened to {name}" if found else f"nothing has happened to {name} yet",
        columns=("no.", "at", "what happened", "result", "run", "why"),
        rows=[
            (o.id, moment(o.at_ms), _reason(o), o.state, short_id(o.run) if o.run else None, o.message or None)
            for o in found
        ],
        data=found,
    )


@schedules.command("pause")
@click.argument("name", shell_complete=_schedule_names)
@click.pass_obj
def pause(frontend: FrontEnd, name: str) -> View:
    """Start NAME no more by itself; runs that are active go on."""
    with frontend.client() as client:
        found = client.pause_schedule(name)
    return View(f"{name} is paused", notes=[f"'{frontend.prog} schedules resume {name}' ends that"], data=found)


@schedules.command("resume")
@click.argument("name", shell_complete=_schedule_names)
@click.pass_obj
def resume(frontend: FrontEnd, name: str) -> View:
    """Start NAME by itself again; what happened meanwhile starts nothing."""
    with frontend.client() as client:
        found = client.resume_schedule(name)
    notes = [f"next: {moment(found.next_ms)}"] if found.next_ms else []
    return View(f"{name} starts by itself again", notes=notes, data=found)


def _triggers(found: Schedule) -> str | None:
    return (
        "; ".join(
            trigger.text if trigger.kind == "schedule" else f"{trigger.kind} {trigger.text}"
            for trigger in found.triggers
        )
        or None
    )


def _state(found: Schedule) -> str:
    return (
        "paused" if found.paused else "problem" if found.problem or any(t.problem for t in found.triggers) else "active"
    )


def _last(found: Schedule) -> str | None:
    if found.last is None:
        return None
    return f"{moment(found.last.at_ms)}: {found.last.state}"


def _reason(found: Occasion) -> str:
    return found.reason.rpartition(" #")[0] or found.reason


COMMANDS = (set_schedule, schedules)
