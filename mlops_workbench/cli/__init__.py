"""``mlops COMMAND``: the commands in a shell."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.processes import leave
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.cli.display import TerminalDisplay
    from mlops_workbench.core.budgets import Budget, BudgetState


class Shell:
    """The shell as a front end of the commands.

    Parameters
    ----------
    draws : bool
        Whether the progress of a run is drawn anew in place where that is possible, instead of printed in lines.
    """

    def __init__(self, *, draws: bool = True) -> None:
        self._workspace: Workspace | None = None
        self._draws = draws
        self._display: TerminalDisplay | None = None

    @property
    def workspace(self) -> Workspace:
        """Workspace of the working folder."""
        if self._workspace is None:
            self._workspace = Workspace.find()
        return self._workspace

    def client(self) -> Any:
        """A client of the control plane."""
        from mlops_workbench.client.client import Client

        return Client.connect(self.workspace, notify=self.progress, source="cli")

    def experiment(self) -> str | None:
        """The experiment that ``MLOPS_EXPERIMENT`` names."""
        return os.environ.get("MLOPS_EXPERIMENT")

    def use_experiment(self, name: str) -> None:
        """No effect: every command is a process of its own."""

    def table(self, expression: str) -> Any:
        """Read a CSV or Parquet file, or CSV from standard input for ``-``."""
        from mlops_workbench.data.files import read_file

        if expression == "-":
            import pandas as pd

            return pd.read_csv(sys.stdin)
        path = Path(expression)
        if not path.is_file():
            raise InvalidInput(f"no file '{expression}'", hint="give a CSV or Parquet file, or '-' for standard input")
        return read_file(path)

    prog = "mlops"

    def data_with(self, columns: Collection[str]) -> str:
        """A word that stands for a file."""
        return "FILE.csv"

    def save_model(self, run: str) -> bool:
        """A shell holds no fitted models."""
        return False

    def autotrack(self, on: bool | None = None) -> bool:
        """The workspace's setting; a shell has no cells for which it could be changed."""
        if on is not None:
            raise InvalidInput(
                "autotrack is set in a notebook, not in a shell",
                hint="run '%mlops autotrack on' in a cell, or set autotrack = true below [capture] in workbench.toml",
            )
        return self.workspace.settings.capture.autotrack

    def budget(self) -> BudgetState | None:
        """A shell has no budget."""
        return None

    def set_budget(self, budget: Budget | None) -> None:
        """Raise InvalidInput."""
        raise InvalidInput("a budget is set in a notebook, not in a shell", hint="run '%mlops budget 2h' in a cell")

    def display(self) -> TerminalDisplay | None:
        """The drawing of a run in the terminal; None where standard error is no terminal."""
        from mlops_workbench.cli.display import TerminalDisplay, can_draw

        self._display = TerminalDisplay() if self._draws and can_draw() else None
        return self._display

    def ask(self, question: str) -> str:
        """Ask at the terminal, on standard error."""
        if sys.stdin is None or not sys.stdin.isatty():
            return ""
        import click

        return str(click.prompt(question, err=True)).strip()

    def progress(self, text: str) -> None:
        """Write a line to standard error; the result goes to standard output."""
        if self._display is not None and self._display.is_open:
            self._display.line(text)
            return
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()


def main() -> NoReturn:
    """Run ``mlops``, and end the process.

    The exit code is 1 for an error or a check that fails, 2 for wrong input, 130 after Ctrl-C, or the view's own: 3 for
    a pipeline that finished and published nothing.
    """
    try:
        code = _run()
    except SystemExit as end:  # click's, after a completion
        code = end.code if isinstance(end.code, int) else 0
    leave(code)


def _run() -> int:
    from mlops_workbench.commands.app import app, run

    if "_MLOPS_COMPLETE" in os.environ:
        app.main(prog_name="mlops", obj=Shell())
    words = sys.argv[1:]
    as_json = "--json" in words
    try:
        view = run([word for word in words if word != "--json"], Shell(draws=not as_json), prog="mlops")
    except WorkbenchError as error:
        sys.stderr.write(f"mlops: {error}\n")
        return 2 if isinstance(error, InvalidInput) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe ('mlops runs | head'). Python would report that when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 the message of a foreign error may contain control characters
        sys.stderr.write(visible(traceback.format_exc()))
        return 1
    if view is None:
        return 0
    _print(view, as_json=as_json)
    return view.exit_code or int(view.failed)


def _print(view: Any, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(view.json() + "\n")
        return
    import shutil

    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    sys.stdout.write(view.text(width=width, colour=sys.stdout.isatty()) + "\n")
