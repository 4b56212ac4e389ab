"""Commands about data: versions, differences, checks, snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_workbench.commands.cells import COVERS, Cell, counted
from mlops_workbench.commands.completion import run_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.shown.formats import moment
from mlops_workbench.core.shown.formats import share as percent

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.core.datasets import DatasetVersion
    from mlops_workbench.data.compare.check import DataCheck
    from mlops_workbench.data.compare.diff import DataDiff
    from mlops_workbench.data.compare.source import DataSource

_SHOWN = 12


@click.group()
def data() -> None:
    """List and compare versions of data, check new data, get a snapshot."""


@data.command("list")
@click.argument("reference", metavar="RUN|VERSION", shell_complete=run_names)
@click.pass_obj
def list_data(frontend: FrontEnd, reference: str) -> View:
    """List the data that a RUN used, or the runs that used a VERSION.

    The id of a VERSION may be abbreviated to 6 or more digits.
    """
    with frontend.client() as client:
        try:
            found = client.datasets(client.run(reference).run.uid)
        except NotFound as no_run:
            try:
                found = client.dataset_versions(reference)
            except NotFound:
                raise no_run from None
    return versions_view(found, reference)


@data.command("diff")
@click.argument("a", shell_complete=run_names)
@click.argument("b", shell_complete=run_names)
@click.option("--dataset", "name", default="", help="Name of the run's data set; by default the training data.")
@click.pass_obj
def diff(frontend: FrontEnd, a: str, b: str, name: str) -> View:
    """Compare the data A and B.

    Each is a run, a version, a file or a table of the notebook. Put quotes around an expression with spaces.
    """
    from mlops_workbench.commands.data.sources import find_sources, pair_sources, with_rows
    from mlops_workbench.data.compare.diff import diff_data

    with frontend.client() as client:
        pairs = pair_sources(find_sources(frontend, client, a, name), find_sources(frontend, client, b, name))
        pairs = [(with_rows(client, left), with_rows(client, right)) for left, right in pairs]
    settings = frontend.workspace.settings.monitoring
    views = [diff_view(diff_data(left, right, settings), left, right) for left, right in pairs]
    if len(views) == 1:
        return views[0]
    return View(
        f"data of {a} and {b}", sections=views, data=[view.data for view in views], table=lambda: _joined(views)
    )


@data.command("check")
@click.argument("expression", metavar="TABLE")
@click.option("--against", "reference", required=True, metavar="RUN", shell_complete=run_names,
              help="Run (or version of data) whose schema the table must match.")  # fmt: skip
@click.option("--dataset", "name", default="", help="Name of the run's data set; by default the widest training data.")
@click.pass_obj
def check(frontend: FrontEnd, expression: str, reference: str, name: str) -> View:
    """Check TABLE against the schema of a run's training data.

    TABLE is a file, a variable or an expression. In a shell the exit code is 1 if the check fails.
    """
    from mlops_workbench.client.datasets import choose_version, find_versions
    from mlops_workbench.commands.data.sources import find_table
    from mlops_workbench.data.compare.check import check_frame
    from mlops_workbench.data.tables.frames import as_frame

    with frontend.client() as client:
        versions = find_versions(client, reference)
        version = choose_version([v for v in versions if v.schema] or versions, name)
        schema = client.dataset_file(version.digest, "schema")
    frame = as_frame(find_table(frontend, expression))
    if frame is None:
        raise InvalidInput(f"'{expression}' has no columns to check", hint="give a table, or a file that holds one")
    outcome, cases = check_frame(frame, schema)
    return check_view(outcome, cases, expression, version)


@data.command("get")
@click.argument("reference", metavar="RUN|VERSION", shell_complete=run_names)
@click.option("--dataset", "name", default="", help="Name of the run's data set; by default the widest training data.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Parquet file to write.")
@click.pass_obj
def get(frontend: FrontEnd, reference: str, name: str, output: Path | None) -> View:
    """Write the snapshot of a run's data to a Parquet file.

    In Python, use load_dataset(RUN).
    """
    from mlops_workbench.client.datasets import choose_version, find_versions

    with frontend.client() as client:
        version = choose_version(find_versions(client, reference), name)
        content = client.dataset_file(version.digest, "snapshot")
    target = output or Path(f"{Path(version.name).name or 'data'}.parquet")
    if output is None and target.exists():
        raise InvalidInput(f"{target} already exists", hint="name another file with -o")
    write_atomic(target, content)
    facts: list[tuple[str, Cell]] = [("file", str(target)), ("rows", version.rows), ("version", version.digest)]
    return View(f"data {version.name} of run {version.run}", facts=facts, data=version)


def versions_view(found: list[DatasetVersion], reference: str) -> View:
    """Versions of data as a table."""
    return View(
        f"data of {reference}",
        columns=("data", "used for", "rows", "columns", "version", "covers", "first seen", "by run", "kept", "run"),
        rows=[
            (v.name, v.context, v.rows, v.columns, v.digest[:12], COVERS.get(v.covers, v.covers), moment(v.first_ms),
             v.first_run, "yes" if v.snapshot else "", v.run)
            for v in found
        ],
        notes=["'mlops data diff A B' compares two versions, runs, files or tables"],
        data=found,
    )  # fmt: skip


def diff_view(found: DataDiff, a: DataSource, b: DataSource) -> View:
    """The difference of two versions; columns that changed come first."""
    rows: list[list[Cell]] = [
        [c.name, _change(c.change, c.types), c.effect, "yes" if c.drifted else "", c.p_value, *map(_percent, c.missing),
         *c.values]
        for c in found.columns
        if c.change != "same"
    ]  # fmt: skip
    notes = []
    if len(rows) > _SHOWN:
        notes.append(f"and {counted(len(rows) - _SHOWN, 'more column')} with smaller changes; .frame() has all columns")
    if found.same:
        notes.append("same version" + ("" if a.covers == "content" else f" (the digest covers {COVERS[a.covers]})"))
    elif not found.exact:
        notes.append("compared by profiles, because one side has no rows; keep snapshots to compare rows")
    facts: list[tuple[str, Cell]] = [("A", _description(a)), ("B", _description(b)), ("rows", _row_change(found))]
    if found.removed:
        facts.append(("columns only in A", ", ".join(f"{name} ({kind})" for name, kind in found.removed)))
    if found.added:
        facts.append(("columns only in B", ", ".join(f"{name} ({kind})" for name, kind in found.added)))
    unchanged = sum(column.change == "same" for column in found.columns)
    if unchanged:
        facts.append(("unchanged columns", unchanged))
    return View(
        f"data {a.name} and {b.name}" if a.name != b.name else f"data {a.name}",
        facts=facts,
        columns=("column", "change", "effect", "drift", "p", "missing A", "missing B", "A", "B"),
        rows=rows[:_SHOWN],
        notes=notes,
        data=found,
        table=lambda: _diff_frame(found),
    )


def check_view(found: DataCheck, cases: pd.DataFrame, expression: str, version: DatasetVersion) -> View:
    """Outcome of a check."""
    state = "passes" if found.passed else f"fails {counted(len(found.failures), 'check')}"
    notes = []
    if found.aligned:
        notes.append(f"converted to the type in the training data: {', '.join(found.aligned)}")
    if not found.passed:
        notes.append(".frame() has every failing value with its row")
    return View(
        f"{expression} {state} against {version.name} of run {version.run}",
        facts=[("rows", found.rows), ("columns checked", found.columns), ("training data", version.digest[:12])],
        columns=("column", "expected", "failing rows", "examples"),
        rows=[(f.column, f.check, f.rows, ", ".join(f.examples)) for f in found.failures],
        notes=notes,
        data=found,
        table=lambda: cases,
        failed=not found.passed,
    )


def _joined(views: list[View]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat({view.title: view.frame() for view in views}, names=["data", None])


def _diff_frame(found: DataDiff) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"column": c.name, "change": c.change, "type_a": c.types[0], "type_b": c.types[1], "effect": c.effect,
         "p_value": c.p_value, "drifted": c.drifted, "missing_a": c.missing[0], "missing_b": c.missing[1],
         "a": c.values[0], "b": c.values[1]}
        for c in found.columns
    ]  # fmt: skip
    rows += [{"column": name, "change": "removed", "type_a": kind} for name, kind in found.removed]
    rows += [{"column": name, "change": "added", "type_b": kind} for name, kind in found.added]
    names = ["column", "change", "type_a", "type_b", "effect", "p_value", "drifted", "missing_a", "missing_b", "a", "b"]
    return pd.DataFrame(rows, columns=names)


def _description(source: DataSource) -> str:
    rows = counted(source.rows, "row")
    return f"{source.label}, {rows}, version {source.digest[:12]} ({COVERS[source.covers]})"


def _row_change(found: DataDiff) -> str:
    if found.reordered:
        return "same rows in another order"
    if found.rows_added is not None and found.rows_removed is not None:
        return f"{found.rows_added:,} only in B, {found.rows_removed:,} only in A"
    change = found.rows[1] - found.rows[0]
    return "same number" if not change else f"{abs(change):,} {'more' if change > 0 else 'fewer'} in B"


def _change(change: str, types: tuple[str, str]) -> str:
    return f"{types[0]} -> {types[1]}" if change == "retyped" else change


def _percent(share: float) -> str:
    return percent(share, 1) if share else ""


COMMANDS = (data,)
