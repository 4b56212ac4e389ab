"""The verb that turns MLflow's autologging on, through the journal."""

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
@click.option("--models", is_flag=True, help="Save each fitted model too, which takes MLflow seconds a model.")
@click.pass_obj
def autolog(frontend: FrontEnd, words: tuple[str, ...], models: bool) -> View:
    """Let MLflow log what FRAMEWORKs do (all by default) to this workspace's journal; 'off' undoes it.

    'status' only tells what is on.

    In a tracked cell what is logged joins its run. Frameworks: sklearn, xgboost, lightgbm, lightning, keras,
    tensorflow, statsmodels, transformers, spark.
    """
    if shell() is None:
        raise InvalidInput(
            "autologging is turned on in the process that trains",
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
    notes = [f"MLflow logs to {switch.URI}: the runs of this notebook's workspace"] if on else []
    return View(
        f"autologging is on for {', '.join(on)}" if on else "autologging is off",
        notes=notes,
        data={"on": on},
    )


COMMANDS = (autolog,)
