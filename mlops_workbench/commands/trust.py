"""Command about the types that models may contain."""

from __future__ import annotations

import os
import re

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.settings_file import add_to_list
from mlops_workbench.core.trust import TRUSTED_TYPES
from mlops_workbench.core.workspace import FILE, Workspace

_TYPE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+\Z")


@click.command()
@click.argument("types", nargs=-1, metavar="[TYPE...]")
@click.pass_obj
def trust(frontend: FrontEnd, types: tuple[str, ...]) -> View:
    """Let models contain TYPEs, such as my_package.Ratio, or list those that they may contain.

    Loading a model runs code of the types in it. Those of scikit-learn, NumPy and SciPy that are safe are on a built-in
    list; add a type only if you trust its code. Endpoints take the change over at once.
    """
    root = frontend.workspace.root
    for name in types:
        if not _TYPE.match(name):
            raise InvalidInput(
                f"'{name}' is not the name of a type", hint="write its module too, for example my_package.Ratio"
            )
    wanted = [name for name in types if name not in TRUSTED_TYPES]
    if wanted:
        Workspace.init(root)
    added = [name for name in wanted if add_to_list(root / FILE, "serving", "trusted_types", name)]
    listed = Workspace.open(root).settings.serving.trusted_types
    notes = [f"{len(TRUSTED_TYPES)} types of scikit-learn, NumPy and SciPy are on the built-in list"]
    if any(name not in listed for name in wanted):
        notes = ["MLOPS_SERVING_TRUSTED_TYPES is set, so the list in workbench.toml is not used"]
    if added and (url := os.environ.get("MLOPS_URL")):
        notes.append(f"the control plane at {url} has a workbench.toml of its own: trust them there too")
    return View(
        f"trusted now: {', '.join(added)}" if added else "types that models may contain",
        columns=("type",),
        rows=[(name,) for name in listed],
        notes=notes,
        data={"trusted_types": listed},
    )


COMMANDS = (trust,)
