"""What a verb may ask of the place it is spoken in: a shell or a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client
    from mlops_workbench.core.budgets import Budget, BudgetState


class FrontEnd(Protocol):
    """The shell or the notebook."""

    @property
    def workspace(self) -> Workspace:
        """The workspace it belongs to."""
        ...

    def client(self) -> Client:
        """A client of the control plane, started if need be."""
        ...

    def experiment(self) -> str | None:
        """The experiment in use here, None for no preference."""
        ...

    def use_experiment(self, name: str) -> None:
        """Use an experiment from now on, where that means something."""
        ...

    def table(self, expression: str) -> Any:
        """The data that a word on the command line stands for: a file, or an expression of the notebook."""
        ...

    def save_model(self, run: str) -> bool:
        """Save the fitted model of a run that is still in memory; False when this frontend has none."""
        ...

    def autotrack(self, on: bool | None = None) -> bool:
        """Let cells that fit a model be runs (or not, or leave it as it is), and tell how it is now."""
        ...

    def budget(self) -> BudgetState | None:
        """The budget of this session's tracked work, None without one."""
        ...

    def set_budget(self, budget: Budget | None) -> None:
        """Begin a budget, or end it with None.

        Raises
        ------
        InvalidInput
            Nothing is tracked in this place.
        """
        ...

    def progress(self, text: str) -> None:
        """Show a line while the verb goes on."""
        ...
