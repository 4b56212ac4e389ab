"""The notebook as a place where verbs are spoken."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import InvalidInput

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.client.client import Client
    from mlops_workbench.core.budgets import Budget, BudgetState
    from mlops_workbench.core.workspace import Workspace


class Notebook:
    """A kernel: its workspace, its experiment and its variables.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    @property
    def workspace(self) -> Workspace:
        """Workspace of the notebook's folder."""
        # Settings and their parsers cost more than all else that loading the extension imports.
        from mlops_workbench.core.workspace import Workspace

        return Workspace.find()

    def client(self) -> Client:
        """A client of the control plane."""
        # A kernel that only tracks never pays for an HTTP client.
        from mlops_workbench.client.client import Client

        return Client.connect(self.workspace)

    def experiment(self) -> str | None:
        """The experiment that tracked cells belong to."""
        from mlops_workbench.capture import current_experiment

        return current_experiment()

    def use_experiment(self, name: str) -> None:
        """Let tracked cells belong to `name` from now on."""
        from mlops_workbench.capture import set_experiment

        set_experiment(name)

    def table(self, expression: str) -> Any:
        """Value of an expression in the notebook.

        Raises
        ------
        InvalidInput
            The expression fails.
        """
        try:
            return self._shell.ev(expression)
        except Exception as error:
            raise InvalidInput(
                f"'{expression}' fails: {type(error).__name__}: {error}", hint="give an expression that is a table"
            ) from error

    def save_model(self, run: str) -> bool:
        """Save the model that a finished run fitted, if it is still in memory and was not saved yet."""
        from mlops_workbench.capture import save_model_of_run

        return save_model_of_run(run)

    def autotrack(self, on: bool | None = None) -> bool:
        """Let cells that fit a model be runs, or not; tell how it is."""
        from mlops_workbench.magics.hooks import shell_hooks

        autotrack = shell_hooks(self._shell).autotrack
        if on is not None:
            autotrack.on = on
        return autotrack.on

    def budget(self) -> BudgetState | None:
        """The budget of this session's tracked work."""
        from mlops_workbench.capture import current_session

        return current_session().surroundings.resources.budget.state()

    def set_budget(self, budget: Budget | None) -> None:
        """Begin a budget, or end it with None."""
        from mlops_workbench.capture import current_session

        resources = current_session().surroundings.resources
        resources.budget.set(budget, active=resources.active())

    def progress(self, text: str) -> None:
        """Show a line while a verb goes on."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
