"""The command that turns MLflow's autologging through the journal on and off."""

from __future__ import annotations

import sys

import click

from mlops_workbench.capture.kernel.place import shell
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput

_STATES = ("on", "off", "status")


@click.command()
@click.argument("words", nargs=-1, metavar="[on|off|status] [FRAMEWORK]...")
@click.option("--models", is_flag=True, help="Save each fitted model too; takes seconds per model.")
@click.pass_obj
def autolog(frontend: FrontEnd, words: tuple[str, ...], models: bool) -> View:
    """Turn MLflow's autologging on or off, for each FRAMEWORK or for all.

    Logged values go to this workspace's journal; in a tracked cell they belong to the cell's run. Frameworks:
    sklearn, xgboost, lightgbm, lightning, keras, tensorflow, statsmodels, transformers, spark.
    """
    if shell() is None:
        raise InvalidInput(
            "autologging works only in the process that trains the model",
            hint="use %mlops autolog in a notebook; in a script set MLFLOW_TRACKING_URI=mlops:// and call"
            " mlflow.autolog()",
        )
    from mlops_workbench.tracking.plugin import autolog as switch

    state, frameworks = (words[0], words[1:]) if words[:1] and words[0] in _STATES else ("on", words)
    if state == "on":
        if "mlflow" not in sys.modules:
            frontend.progress("importing MLflow, which takes a few seconds")
        switch.switch_on(frameworks, models=models)
    elif state == "off":
        switch.switch_off(frameworks)
    on = switch.active()
    notes = [f"MLflow logs to {switch.URI}, that is to this notebook's workspace"] if on else []
    return View(
        f"autologging is on for {', '.join(on)}" if on else "autologging is off",
        notes=notes,
        data={"on": on},
    )


COMMANDS = (autolog,)
