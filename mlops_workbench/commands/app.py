"""The command group: parses the words of a line, runs the command and returns its view."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.version import __version__

#: Modules with the commands; a module is imported when one of its commands is run, since a command takes as long to
#: start as what it imports.
_MODULES = {
    "workspace": ("init", "up", "down", "status", "ingest"),
    "autotrack": ("autotrack",),
    "autolog": ("autolog",),
    "budget": ("budget",),
    "clean": ("clean", "keep"),
    "runs.listing": ("experiment", "runs", "show", "compare"),
    "data.versions": ("data",),
    "models": ("models", "register", "promote"),
    "card": ("card",),
    "keys": ("keys",),
    "tokens": ("tokens",),
    "trust": ("trust",),
    "endpoints": ("deploy",),
    "endpoint_group": ("endpoints",),
    "predict": ("predict",),
    "rollback": ("rollback",),
    "releases": ("releases",),
    "pipelines.params": ("params",),
    "pipelines.notebook": ("run",),
    "pipelines.group": ("pipeline",),
    "pipelines.sweeps": ("sweep",),
    "pipelines.schedules": ("schedule", "schedules"),
    "monitors": ("monitor", "alerts"),
    "audit": ("audit",),
}


class Commands(click.Group):
    """A group whose commands are in the modules of this package."""

    def list_commands(self, ctx: click.Context | None) -> list[str]:
        """Names of all commands."""
        for module in _MODULES:
            self._load(module)
        return sorted(self.commands)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        """The command of this name; None if there is none, of which click says what is near."""
        for module, names in _MODULES.items():
            if cmd_name in names:
                self._load(module)
                return self.commands[cmd_name]
        self.list_commands(ctx)
        return None

    def _load(self, module: str) -> None:
        if not self.commands.keys() >= set(_MODULES[module]):
            for command in import_module(f"mlops_workbench.commands.{module}").COMMANDS:
                self.add_command(command)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=False,
)
@click.version_option(__version__, prog_name="mlops")
def app() -> None:
    """The machine-learning life cycle from the notebook: runs, models, pipelines, endpoints, monitors.

    Every command takes --json: it then prints its data as JSON instead of a table.
    """


def run(words: Sequence[str], frontend: FrontEnd, *, prog: str) -> View | None:
    """Run a command.

    Parameters
    ----------
    words : sequence of str
        The command and its arguments.
    frontend : FrontEnd
        The shell or the notebook.
    prog : str
        ``mlops`` or ``%mlops``, for help and messages.

    Returns
    -------
    View or None
        None after help was printed.

    Raises
    ------
    InvalidInput
        Unknown command or option (the hint names the nearest one), or a missing argument.
    WorkbenchError
        The command failed.
    """
    try:
        result: Any = app.main(args=list(words), prog_name=prog, standalone_mode=False, obj=frontend)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return None
    except click.ClickException as error:
        # click's own message names the nearest command or option.
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else prog
        raise InvalidInput(error.format_message(), hint=f"see '{path} --help'") from error
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        raise
    except Exception as error:
        # The disk of the workspace, or a file that the command names.
        if not isinstance(error, WorkbenchError) and (found := disk_error(error, frontend.workspace.state)) is not None:
            raise found from error
        raise
    return result if isinstance(result, View) else None


def complete(words: Sequence[str], incomplete: str, frontend: FrontEnd) -> list[CompletionItem]:
    """Completions of `incomplete` after `words`."""
    return ShellComplete(app, {"obj": frontend}, "mlops", "_MLOPS_COMPLETE").get_completions(list(words), incomplete)
