"""The command that turns automatic tracking of cells on and off."""

from __future__ import annotations

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View

_NOTES = {
    True: "every cell that fits a model is tracked as a run, named after the model; %%track NAME sets another name",
    False: "'%mlops autotrack on' tracks every cell that fits a model; %%track tracks one cell",
}


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]), default="status")
@click.pass_obj
def autotrack(frontend: FrontEnd, state: str) -> View:
    """Track every cell that fits a model as a run, without %%track.

    This applies to the current notebook session; set autotrack = true in the [capture] section of workbench.toml
    for all new sessions.
    """
    on = frontend.autotrack(None if state == "status" else state == "on")
    return View(f"autotrack is {'on' if on else 'off'}", notes=[_NOTES[on]], data={"autotrack": on})


COMMANDS = (autotrack,)
