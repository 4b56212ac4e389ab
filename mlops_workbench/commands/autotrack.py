"""The command that turns automatic tracking of cells on and off."""

from __future__ import annotations

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.quick import autotrack_view
from mlops_workbench.commands.view import View


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]), default="status")
@click.pass_obj
def autotrack(frontend: FrontEnd, state: str) -> View:
    """Track every cell that fits a model as a run, without %%track.

    This applies to the current notebook session; set autotrack = true in the [capture] section of workbench.toml
    for all new sessions.
    """
    return autotrack_view(frontend.autotrack(None if state == "status" else state == "on"))


COMMANDS = (autotrack,)
