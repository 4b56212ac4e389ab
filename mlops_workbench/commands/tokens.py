"""Commands about the tokens that endpoints take."""

from __future__ import annotations

import click

from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.settings_file import add_to_list
from mlops_workbench.core.tokens import SCOPES, Tokens, new_token, token_entry
from mlops_workbench.core.workspace import FILE

_SHOWN = 12


@click.group(invoke_without_command=True)
@click.pass_context
def tokens(ctx: click.Context) -> View | None:
    """Show the tokens that this workspace's endpoints take: their hashes, and what they allow."""
    if ctx.invoked_subcommand is not None:
        return None
    frontend: FrontEnd = ctx.obj
    settings = frontend.workspace.latest().serving
    rows: list[list[Cell]] = []
    for entry in settings.tokens:
        Tokens("", [entry])
        scopes, digest, *name = entry.split(maxsplit=2)
        rows.append([digest.removeprefix("sha256:")[:_SHOWN], scopes, " ".join(name)])
    view = View(title=f"{len(rows)} tokens of endpoints", columns=["hash", "allows", "name"], rows=rows)
    view.notes = ["to withdraw one, delete its line below [serving] in workbench.toml; endpoints start again with it"]
    if settings.token:
        view.notes.insert(0, "serving.token is set, which allows everything")
    return view


@tokens.command()
@click.option("--scope", "scopes", default="infer", metavar="SCOPES", help=f"{', '.join(SCOPES)}; several with commas")
@click.option("--name", default="", help="who uses it")
@click.pass_obj
def new(frontend: FrontEnd, scopes: str, name: str) -> View:
    """Make a token and store its hash below [serving] in workbench.toml; the token itself is shown once."""
    chosen = [scope for scope in SCOPES if scope in scopes.split(",")]
    if unknown := sorted(set(scopes.split(",")) - set(SCOPES)):
        raise InvalidInput(f"unknown scope '{unknown[0][:40]}'", hint=f"one or several of {', '.join(SCOPES)}")
    if "\n" in name:
        raise InvalidInput("the name must be one line")
    token = new_token()
    add_to_list(frontend.workspace.root / FILE, "serving", "tokens", token_entry(token, chosen, name))
    return View(
        title="new token",
        columns=["token", "allows", "name"],
        rows=[[token, ",".join(chosen), name]],
        data={"token": token, "scopes": chosen, "name": name},
        notes=["it is not stored: keep it now; clients send it as 'Authorization: Bearer TOKEN'"],
    )


COMMANDS = (tokens,)
