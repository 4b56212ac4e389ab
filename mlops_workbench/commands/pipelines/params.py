"""Command that shows, and on request tags, the parameters of a notebook."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import Conflict, InvalidInput, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.notebooks.document import PARAMETERS_TAG, language, parse_notebook, read_notebook, tagged_cell
from mlops_workbench.notebooks.parameters.declared import Parameter, notebook_parameters
from mlops_workbench.notebooks.parameters.json_schema import json_schema
from mlops_workbench.notebooks.parameters.proposal import Proposal, propose
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.notebooks.parameters.tagging import tagged

#: Characters of a default in the table.
_WIDEST = 60
#: Notes below the table.
_MOST_NOTES = 8


@click.command("params")
@click.argument("notebook", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--tag", is_flag=True, help="Write the proposed cell to a notebook without the tag 'parameters'.")
@click.option("--schema", is_flag=True, help="Show the JSON Schema (draft-07) of the parameters.")
@click.pass_obj
def params(frontend: FrontEnd, notebook: Path, tag: bool, schema: bool) -> View:
    """Show the parameters of NOTEBOOK: name, type, default and help.

    They are the assignments in its cell with the tag 'parameters'. For a notebook without such a cell one is proposed,
    and --tag writes it to the file. With --json, prints the JSON Schema of the parameters.
    """
    path = Path(notebook).expanduser()
    document = read_notebook(path)
    if language(document) != "python":
        raise InvalidInput(f"{path.name} is written in {language(document)}", hint="only Python has typed parameters")
    index = tagged_cell(document, PARAMETERS_TAG)
    if index is not None:
        if document.cells[index].cell_type != "code":
            raise InvalidInput(
                f"cell {index + 1} has the tag '{PARAMETERS_TAG}' but is not code",
                where=str(path),
                hint="move the tag to a code cell",
            )
        found = notebook_parameters(document, where=path.name)
        notes = [f"cell {index + 1} has the tag already: nothing was changed"] if tag else []
        return _view(path, f"parameters of {path.name}", found, schema, facts=index + 1, notes=notes)
    proposal = propose(document)
    if tag:
        _write(path, proposal)
        done = "is new and has" if proposal.new else "has"
        title = f"{path.name}: cell {proposal.index + 1} {done} the tag '{PARAMETERS_TAG}' now"
        return _view(path, title, proposal.parameters, schema, notes=_notes(proposal))
    return _proposed(frontend, path, proposal, schema)


def _proposed(frontend: FrontEnd, path: Path, proposal: Proposal, schema: bool) -> View:
    notes = _notes(proposal)
    if proposal.parameters:
        does = f"inserts this cell as cell {proposal.index + 1}" if proposal.new else f"tags cell {proposal.index + 1}"
        notes.insert(0, f"'{frontend.prog} params {shlex.quote(str(path))} --tag' {does}")
    else:
        notes.insert(
            0, "assign values in a cell, one a line ('depth: int = 3  # help'), and give it the tag 'parameters'"
        )
    title = f"{path.name} has no cell with the tag '{PARAMETERS_TAG}', so no parameters"
    view = _view(path, title, {}, schema, notes=notes)
    if proposal.parameters and not schema:
        view.sections = [
            View("proposed", columns=_COLUMNS, rows=_rows(proposal.parameters)),
            View("cell", block=proposal.source),
        ]
    return view


def _notes(proposal: Proposal) -> list[str]:
    more = len(proposal.notes) - _MOST_NOTES
    return [*proposal.notes[:_MOST_NOTES], *([f"and {more} more of this kind"] if more > 0 else [])]


def _write(path: Path, proposal: Proposal) -> None:
    if path.suffix != ".ipynb":
        raise InvalidInput(
            f"only .ipynb files can be tagged, not {path.name}",
            hint='write the tag at the cell yourself: # %% tags=["parameters"]',
        )
    if not proposal.parameters:
        raise InvalidInput(
            f"{path.name} has no assignments that could be parameters",
            where=str(path),
            hint="; ".join(proposal.notes[:3]) or "assign values in a cell and give it the tag 'parameters'",
        )
    # A link stays a link.
    target = path.resolve()
    try:
        before, mode = target.read_bytes(), target.stat().st_mode & 0o777
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror or error}", where=str(path)) from error
    text = tagged(before.decode(), proposal, uuid.uuid4().hex[:8])
    parse_notebook(text, where=str(path))
    if target.read_bytes() != before:
        raise Conflict(f"{path.name} was changed meanwhile", hint="repeat the command")
    write_atomic(target, text.encode(), mode=mode)


_COLUMNS = ("name", "type", "default", "help")


def _view(
    path: Path,
    title: str,
    found: Mapping[str, Parameter],
    schema: bool,
    *,
    facts: int = 0,
    notes: tuple[str, ...] | list[str] = (),
) -> View:
    described = json_schema(found, title=path.stem)
    if schema:
        return View(title, block=json.dumps(described, indent=2, ensure_ascii=False), notes=notes, data=described)
    return View(
        title,
        facts=[("cell", facts)] if facts else [],
        columns=_COLUMNS,
        rows=_rows(found),
        notes=notes,
        data=described,
    )


def _rows(found: Mapping[str, Parameter]) -> list[tuple[str, str, str, str | None]]:
    return [(name, item.type.described(), _default(item), item.help or None) for name, item in found.items()]


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    if not parameter.known:
        text = f"computed: {' '.join(parameter.expression.split())}"
    else:
        value = parameter.default
        text = repr(value) if isinstance(value, str) or value is None else str(shown(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


COMMANDS = (params,)
