"""The command about the card of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mlops_workbench.commands.completion import model_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound, did_you_mean
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.model_card import ModelCard
from mlops_workbench.core.models import RegisteredModel, model_name
from mlops_workbench.core.workspace import Workspace

#: Folder of generated cards, in the state folder.
_FOLDER = "cards"
#: Of the number of a version.
_DIGITS = 10
#: Most rows of a table that a notebook shows at once.
_UNFOLDED = 12


@click.command()
@click.argument("reference", metavar="MODEL[@ALIAS|/VERSION]", shell_complete=model_names)
@click.option(
    "--format", "form", type=click.Choice(["md", "html", "json"]), help="Format of what is shown, or of FILE."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the card to this file too."
)
@click.pass_obj
def card(frontend: FrontEnd, reference: str, form: str | None, output: Path | None) -> View:
    """Show the card of a model: what is known about it, and what is still open.

    Without an alias or a version, of the champion, or of the newest version. Purpose, users, out of scope, limits,
    risks, owner and contact are yours to write, in cards/MODEL.md of the workspace: it is created with empty headings,
    and never changed. The card itself is written anew, as .mlops/cards/MODEL-VERSION.md, .html and .json.
    """
    # Imported here: the other commands do without them.
    from mlops_workbench.registry.cards.document import card_json
    from mlops_workbench.registry.cards.free_text import ensure_text, open_questions, read_text, text_file
    from mlops_workbench.registry.cards.html import html
    from mlops_workbench.registry.cards.markdown import markdown

    workspace = frontend.workspace
    with frontend.client() as client:
        found = client.card(*_version(reference, client.models()))
    created = ensure_text(workspace.root, found.name)
    # The file here, also when the control plane is on another machine.
    text = read_text(workspace.root, found.name)
    found = replace(found, text=text, open_questions=open_questions(text))
    written = {"md": markdown(found), "html": html(found), "json": card_json(found)}
    files = [_file(workspace, found, ending) for ending in written]
    for file, content in zip(files, written.values(), strict=True):
        write_atomic(file, content)
    if output is not None:
        ending = form or output.suffix.lstrip(".").lower()
        write_atomic(output, written.get(ending, written["md"]))
        files.append(output)
    own = text_file(workspace.root, found.name)
    notes = [
        f"your text: {_relative(own, workspace)}{' (created)' if created else ''}",
        f"written: {', '.join(_relative(file, workspace) for file in files)}",
    ]
    if form is not None and output is None:
        return View(f"card of {found.name}/{found.version}", block=written[form], notes=notes, data=found)
    return _view(found, notes)


def _view(found: ModelCard, notes: list[str]) -> View:
    from mlops_workbench.registry.cards.sections import card_sections, title

    first, *others = card_sections(found)
    return View(
        f"card of {title(found)}",
        facts=first.facts,
        sections=[
            View(
                section.heading, section.columns, section.rows, section.facts, section.notes, block=section.written,
                folded=len(section.rows) > _UNFOLDED,
            )
            for section in others
        ],
        notes=notes,
        data=found,
    )  # fmt: skip


def _version(reference: str, models: list[RegisteredModel]) -> tuple[str, int]:
    """Name and number of the version that a reference means."""
    name = model_name(reference)
    model = next((model for model in models if model.name == name), None)
    if model is None:
        known = [model.name for model in models]
        hint = did_you_mean(name, known) if known else "register one: mlops register RUN --as NAME"
        raise NotFound(f"no registered model '{name}'", hint=hint)
    rest = reference.removeprefix("models:/").removeprefix(name)
    if rest.startswith("@"):
        if rest[1:] not in model.aliases:
            raise NotFound(f"model '{name}' has no alias '{rest[1:]}'", hint=did_you_mean(rest[1:], model.aliases))
        return name, model.aliases[rest[1:]]
    if rest:
        number = rest[1:]
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS):
            raise InvalidInput(f"'{reference}' is not a version", hint="use name@alias, name/3 or name")
        return name, int(number)
    return name, model.aliases.get("champion") or model.latest


def _file(workspace: Workspace, found: ModelCard, ending: str) -> Path:
    return workspace.state / _FOLDER / f"{found.name}-{found.version}.{ending}"


def _relative(file: Path, workspace: Workspace) -> str:
    return str(file.relative_to(workspace.root)) if file.is_relative_to(workspace.root) else str(file)


COMMANDS = (card,)
