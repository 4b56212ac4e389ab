"""What a command needs of the shell or notebook that runs it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client
    from mlops_workbench.core.budgets import Budget, BudgetState
    from mlops_workbench.core.pipelines import RunProgress


class Display(Protocol):
    """A drawing of a run that goes on, in place of lines of progress."""

    def show(self, progress: RunProgress) -> None:
        """Draw the run as it is now."""
        ...

    def close(self) -> None:
        """End the drawing: when the run has ended, or goes on without being watched."""
        ...


class FrontEnd(Protocol):
    """The shell or the notebook."""

    @property
    def workspace(self) -> Workspace:
        """Workspace of the current folder."""
        ...

    def client(self) -> Client:
        """A client of the control plane, which is started if it does not run."""
        ...

    def experiment(self) -> str | None:
        """The current experiment, None for none."""
        ...

    def use_experiment(self, name: str) -> None:
        """Make `name` the current experiment; no effect in a shell."""
        ...

    def table(self, expression: str) -> Any:
        """Data of an argument: a file in a shell, an expression in a notebook."""
        ...

    @property
    def prog(self) -> str:
        """How a command is written here: ``mlops`` or ``%mlops``."""
        ...

    def data_with(self, columns: Collection[str]) -> str:
        """An argument of `predict`: a table here that has these columns, else a word that stands for one."""
        ...

    def save_model(self, run: str) -> bool:
        """Save the fitted model of a run if it is still in memory; return whether it was."""
        ...

    def autotrack(self, on: bool | None = None) -> bool:
        """Turn automatic tracking on or off, or leave it unchanged (None); return whether it is on."""
        ...

    def budget(self) -> BudgetState | None:
        """The budget of this session's tracked work, None without one."""
        ...

    def set_budget(self, budget: Budget | None) -> None:
        """Set a budget, or remove it with None; raises InvalidInput in a shell."""
        ...

    def display(self) -> Display | None:
        """Open a drawing of a run; None where progress can only be printed in lines."""
        ...

    def ask(self, question: str) -> str:
        """Ask for a line of text; empty where nobody can answer."""
        ...

    def progress(self, text: str) -> None:
        """Show a line of progress while the command runs."""
        ...
