"""Commands about the keys that sign models, and those that a workspace trusts."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_workbench.commands.cells import Cell
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.settings_file import add_to_list
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.serving.signatures.keys import (
    SHOWN,
    InvalidKey,
    PublicKey,
    SigningKey,
    create_key,
    key_file,
    key_id,
    public_key,
    public_text,
    rotate_key,
    signing_key,
)

#: Folder of the trusted public keys in the workspace.
_FOLDER = "keys"
_OWN = "own"


@click.group(invoke_without_command=True)
@click.pass_context
def keys(ctx: click.Context) -> View | None:
    """Show your key that signs models, and the keys that this workspace trusts."""
    if ctx.invoked_subcommand is not None:
        return None
    frontend: FrontEnd = ctx.obj
    return _keys_view(frontend, signing_key(), "keys for signatures of models")


@keys.command()
@click.pass_obj
def create(frontend: FrontEnd) -> View:
    """Create your key, in the folder of your configuration; 'mlops register' does so too."""
    made = create_key()
    return _keys_view(frontend, made, f"new signing key {made.id[:SHOWN]}")


@keys.command()
@click.argument("key", metavar="FILE|own")
@click.pass_obj
def trust(frontend: FrontEnd, key: str) -> View:
    """Trust the public key in FILE, or your own: its signatures count in this workspace.

    The key is copied to keys/ in the workspace and listed below [serving] in workbench.toml.
    """
    mine = signing_key()
    if key == _OWN:
        if mine is None:
            hint = f"{frontend.prog} keys create"
            raise InvalidKey("you have no signing key yet", where=str(key_file()), hint=hint)
        chosen = mine.public
    else:
        chosen = public_key(str(Path(key).expanduser().absolute()))
    added = _trust(frontend.workspace.root, chosen)
    view = _keys_view(frontend, mine, f"{'trusted' if added else 'already trusted'}: {key_id(chosen)[:SHOWN]}")
    if not any(row[0] == key_id(chosen)[:SHOWN] for row in view.rows):
        view.notes = ["MLOPS_SERVING_TRUSTED_KEYS is set, so the list in workbench.toml is not used"]
    return view


@keys.command()
@click.pass_obj
def rotate(frontend: FrontEnd) -> View:
    """Replace your key by a new one; versions that the old one signed still verify.

    A workspace that trusts the old key trusts it still, and this one trusts the new key too. If others may have the
    old key, remove it from trusted_keys in workbench.toml and register the models again.
    """
    trusted = {key for key, _, _ in _trusted(frontend.workspace.root)}
    old, new, kept = rotate_key()
    if old.id in trusted:
        _trust(frontend.workspace.root, new.public)
    view = _keys_view(frontend, new, f"new signing key {new.id[:SHOWN]} in place of {old.id[:SHOWN]}")
    view.notes = [
        f"the old private key is in {kept}; nothing uses it: delete it when the new one works",
        *view.notes,
    ]
    return view


def _trust(root: Path, key: PublicKey) -> bool:
    """Add a key to those that a workspace trusts; return whether it was not among them."""
    if key_id(key) in {known for known, _, _ in _trusted(root)}:
        return False
    Workspace.init(root)
    path = f"{_FOLDER}/{key_id(key)[:SHOWN]}.pem"
    write_atomic(root / path, public_text(key))
    return add_to_list(root / FILE, "serving", "trusted_keys", path)


def _trusted(root: Path) -> list[tuple[str, str, str]]:
    """Identity of each trusted key, where it is, and what is wrong with it."""
    # Read anew: a notebook has the settings of its start.
    found = []
    for listed in Workspace.open(root).settings.serving.trusted_keys:
        where = FILE if "-----" in listed else listed
        try:
            found.append((key_id(public_key(listed)), where, ""))
        except WorkbenchError as error:
            found.append(("", where, error.message))
    return found


def _keys_view(frontend: FrontEnd, own: SigningKey | None, title: str) -> View:
    trusted = _trusted(frontend.workspace.root)
    ids = {key for key, _, _ in trusted}
    required = Workspace.open(frontend.workspace.root).settings.serving.require_signature
    facts: list[tuple[str, Cell]] = [
        ("your key", own.id[:SHOWN] if own else "none yet; 'mlops register' creates one"),
        ("private key", own.origin if own else str(key_file())),
        ("unsigned models", "refused" if required else "served and loaded"),
    ]
    notes = [f"to trust it in this workspace: {frontend.prog} keys trust own"] if own and own.id not in ids else []
    return View(
        title,
        facts=facts,
        columns=("trusted key", "owner", "file", "problem"),
        rows=[(key[:SHOWN] or None, "you" if own and key == own.id else None, where, problem or None)
              for key, where, problem in trusted],
        sections=[View("your public key", block=public_text(own.public))] if own else [],
        notes=notes,
        data={
            "own": own.id if own else None,
            "private_key": own.origin if own else None,
            "public_key": public_text(own.public) if own else None,
            "trusted": [{"key": key, "file": where, "problem": problem} for key, where, problem in trusted],
            "require_signature": required,
        },
    )  # fmt: skip


COMMANDS = (keys,)
