"""The command group: parses a line of words, runs the verb, returns its view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete

from mlops_workbench.commands import autolog, autotrack, budget, endpoints, models, monitors, pipelines, workspace
from mlops_workbench.commands.data import versions
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.runs import listing
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.version import __version__


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=False,
)
@click.version_option(__version__, prog_name="mlops")
def app() -> None:
    """The machine-learning life cycle from the notebook: runs, models, pipelines, endpoints, monitors.

    In a shell, --json after any verb prints its data instead of a table.
    """


for module in (workspace, autotrack, autolog, budget, listing, versions, models, endpoints, pipelines, monitors):
    for command in module.COMMANDS:
        app.add_command(command)


def run(words: Sequence[str], frontend: FrontEnd, *, prog: str) -> View | None:
    """Run a verb.

    Parameters
    ----------
    words : sequence of str
        The verb and what follows it.
    frontend : FrontEnd
        Where it is spoken.
    prog : str
        ``mlops`` or ``%mlops``, for help and messages.

    Returns
    -------
    View or None
        None when the answer was help.

    Raises
    ------
    InvalidInput
        Unknown verb, option or a missing argument, with the nearest one.
    WorkbenchError
        What the verb itself ran into.
    """
    try:
        answer: Any = app.main(args=list(words), prog_name=prog, standalone_mode=False, obj=frontend)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return None
    except click.ClickException as error:
        # click names the nearest verb or option itself.
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else prog
        raise InvalidInput(error.format_message(), hint=f"'{path} --help' shows how it is used") from error
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    return answer if isinstance(answer, View) else None


def complete(words: Sequence[str], incomplete: str, frontend: FrontEnd) -> list[CompletionItem]:
    """What may stand in place of `incomplete` after `words`."""
    return ShellComplete(app, {"obj": frontend}, "mlops", "_MLOPS_COMPLETE").get_completions(list(words), incomplete)
