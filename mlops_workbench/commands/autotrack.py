"""The verb that lets cells that fit a model be runs."""

from __future__ import annotations

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View

_NOTES = {
    True: "a cell that fits a model is a run, named after the model; %%track NAME names it yourself",
    False: "'%mlops autotrack on' makes every cell that fits a model a run; %%track makes one cell a run",
}


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]), default="status")
@click.pass_obj
def autotrack(frontend: FrontEnd, state: str) -> View:
    """Make every cell that fits a model a run: on, off, or say how it is.

    It holds for this notebook session; autotrack = true below [capture] in workbench.toml for all that begin.
    """
    on = frontend.autotrack(None if state == "status" else state == "on")
    return View(f"autotrack is {'on' if on else 'off'}", notes=[_NOTES[on]], data={"autotrack": on})


COMMANDS = (autotrack,)
