"""Commands that write the specs of pipelines."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from mlops_workbench.commands.cells import counted
from mlops_workbench.commands.completion import pipeline_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View


@click.command("new")
@click.argument("notebooks", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="NOTEBOOK...")
@click.option("--name", help="Name of the pipeline; by default that of the notebook, or of the notebooks' folder.")
@click.option("--force", is_flag=True, help="Replace an existing spec.")
@click.pass_obj
def new_pipeline(frontend: FrontEnd, notebooks: tuple[Path, ...], name: str | None, force: bool) -> View:
    """Write a first spec for NOTEBOOKs.

    Reads their parameters and the files they read and write: a file that one writes and another reads connects them.
    """
    from mlops_workbench.pipelines.drafts.write import new_spec

    written = new_spec(frontend.workspace, notebooks, name or _name(notebooks), force=force)
    pipeline = written.path.stem
    notes = [f"{stage.name}: {note}" for stage in written.stages for note in stage.notes]
    if written.problems:
        notes += ["it does not run yet:", *written.problems]
    else:
        notes.append(f"next: {frontend.prog} pipeline run {pipeline}")
    return View(
        f"new pipeline {pipeline}: {counted(len(written.stages), 'stage')} in {written.path}",
        block=written.text.rstrip("\n"),
        notes=notes,
        data={"path": str(written.path), "problems": written.problems, "text": written.text},
    )


def _name(notebooks: tuple[Path, ...]) -> str:
    plain = notebooks[0].stem if len(notebooks) == 1 else notebooks[0].absolute().parent.name
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "-" for sign in plain)
    return kept.strip("-_") or "pipeline"


@click.command("migrate")
@click.argument("name", shell_complete=pipeline_names)
@click.option("--dry-run", is_flag=True, help="Show the changes, and write nothing.")
@click.pass_obj
def migrate_pipeline(frontend: FrontEnd, name: str, dry_run: bool) -> View:
    """Write the spec of pipeline NAME anew as version 2.

    Comments and layout stay. It is refused when the result would not mean the same.
    """
    from mlops_workbench.core.files import write_atomic
    from mlops_workbench.pipelines.definition.file import parse_spec
    from mlops_workbench.pipelines.definition.migrate import migrate
    from mlops_workbench.pipelines.definition.yaml_nodes import read_text
    from mlops_workbench.pipelines.plan.order import needed_stages
    from mlops_workbench.pipelines.plan.specs import find_spec

    path = find_spec(frontend.workspace, name)
    before = read_text(path)
    after = migrate(before, path)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path.name} (version 1)", f"{path.name} (version 2)", lineterm=""
    )
    spec = parse_spec(before, path)
    notes = []
    if spec.publish is not None and spec.publish.gate:
        gated = spec.publish.metrics_from
        later = [stage.name for stage in spec.stages.values() if gated in needed_stages(stage)]
        if later:
            notes.append(f"the gate is one of stage '{gated}' now: when it fails, {', '.join(later)} will not run")
    if not dry_run:
        write_atomic(path, after, mode=path.stat().st_mode & 0o777)
    return View(
        f"{path.name} {'would be rewritten' if dry_run else 'was rewritten'} as version 2",
        block="\n".join(lines),
        diff=True,
        notes=notes,
        data={"path": str(path), "text": after, "written": not dry_run},
    )
