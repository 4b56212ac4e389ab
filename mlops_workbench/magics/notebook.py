"""The notebook as a front end of the commands."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.shown.plain_text import visible

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.client.client import Client
    from mlops_workbench.commands.view import View
    from mlops_workbench.core.budgets import Budget, BudgetState
    from mlops_workbench.core.workspace import Workspace
    from mlops_workbench.widgets.run_output import RunOutput


class Notebook:
    """The workspace, the experiment and the variables of a kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        #: Where the last run was shown.
        self.output: RunOutput | None = None

    @property
    def workspace(self) -> Workspace:
        """Workspace of the notebook's folder."""
        # Imported here: it takes longer than everything else that loading the extension imports.
        from mlops_workbench.core.workspace import Workspace

        return Workspace.find()

    def client(self) -> Client:
        """A client of the control plane."""
        # Imported here: a kernel that only tracks needs no HTTP client.
        from mlops_workbench.client.client import Client

        return Client.connect(self.workspace, notify=self.progress, source="notebook")

    def experiment(self) -> str | None:
        """The experiment of tracked cells."""
        from mlops_workbench.capture import current_experiment

        return current_experiment()

    def use_experiment(self, name: str) -> None:
        """Make `name` the experiment of tracked cells."""
        from mlops_workbench.capture import set_experiment

        set_experiment(name)

    def table(self, expression: str) -> Any:
        """Value of an expression in the notebook; raises InvalidInput if it fails."""
        try:
            return self._shell.ev(expression)
        except Exception as error:
            raise InvalidInput(
                f"'{expression}' fails: {type(error).__name__}: {error}", hint="give an expression for a table"
            ) from error

    prog = "%mlops"

    def data_with(self, columns: Collection[str]) -> str:
        """The variable with a table of these columns that was assigned last; ``DATA`` if there is none."""
        for name, value in reversed(list(self._shell.user_ns.items())):
            kind = type(value)
            table = kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"
            if table and columns and not name.startswith("_") and {*columns} == {*map(str, value.columns)}:
                return f"{name}.head()"
        return "DATA"

    def save_model(self, run: str) -> bool:
        """Save the model that a finished run fitted if it is still in memory and not saved yet."""
        from mlops_workbench.capture import save_model_of_run

        return save_model_of_run(run)

    def autotrack(self, on: bool | None = None) -> bool:
        """Turn automatic tracking on or off, or leave it unchanged (None); return whether it is on."""
        from mlops_workbench.magics.hooks import shell_hooks

        hooks = shell_hooks(self._shell)
        if on is not None:
            hooks.set_autotrack(on)
            return on
        return hooks.autotrack.on

    def budget(self) -> BudgetState | None:
        """The budget of this session's tracked work."""
        from mlops_workbench.capture import current_session

        return current_session().surroundings.resources.budget.state()

    def set_budget(self, budget: Budget | None) -> None:
        """Set a budget, or remove it with None."""
        from mlops_workbench.capture import current_session

        resources = current_session().surroundings.resources
        resources.budget.set(budget, active=resources.active())

    def display(self) -> RunOutput | None:
        """The output of the cell that shows a run; None where nobody sees it before the cell has ended."""
        from mlops_workbench.widgets.live_output import cell_id, is_watched

        if not is_watched(self._shell, cell_id(self._shell)):
            return None
        from mlops_workbench.widgets.run_output import RunOutput

        self.output = RunOutput(self._shell)
        return self.output

    def show_live(self, view: View, bundle: dict[str, str]) -> bool:
        """Show a view, whose output is `bundle` now, and what it becomes, if somebody sees it; return whether so."""
        from mlops_workbench.widgets.live_output import cell_id, is_watched

        if not is_watched(self._shell, cell_id(self._shell)):
            return False
        from mlops_workbench.widgets.live_view import LiveView

        LiveView(self._shell.display_pub, view, bundle)
        return True

    def ask(self, question: str) -> str:
        """Ask below the cell; in a notebook that is executed without a person, nobody answers."""
        from IPython.core.error import StdinNotImplementedError

        if getattr(self._shell, "kernel", None) is None and not (sys.stdin and sys.stdin.isatty()):
            # IPython in a pipe, which would wait for ever.
            return ""
        try:
            return input(f"{question}: ").strip()
        except (StdinNotImplementedError, EOFError, OSError):
            return ""

    def progress(self, text: str) -> None:
        """Print a line of progress."""
        sys.stdout.write(visible(text) + "\n")
        sys.stdout.flush()
