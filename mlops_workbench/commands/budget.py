"""The command about the budget of a session."""

from __future__ import annotations

import click

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.budgets import BudgetState, parse_budget
from mlops_workbench.core.errors import InvalidInput, SettingsError
from mlops_workbench.core.settings import PriceSettings
from mlops_workbench.core.shown.formats import share
from mlops_workbench.core.workspace import FILE


@click.command()
@click.argument("limits", nargs=-1, metavar="[TIME] [MONEY] | off")
@click.option("--stop", is_flag=True, help="Interrupt the cell that exceeds the budget.")
@click.pass_obj
def budget(frontend: FrontEnd, limits: tuple[str, ...], stop: bool) -> View:
    """Set or show the budget of this session's tracked work.

    For example: %mlops budget 2h 5EUR --stop. TIME is like 90s, 30min, 2h or 1h30m; MONEY is like 5EUR and computed
    from the prices in workbench.toml. Warnings are shown at 80 % and 100 %. 'off' removes the budget. A new kernel
    has no budget.
    """
    if not limits:
        if stop:
            raise InvalidInput("--stop needs a budget", hint="for example: %mlops budget 2h --stop")
        return budget_view(frontend.budget())
    if limits == ("off",):
        frontend.set_budget(None)
        return View("no budget: tracked work has no limit")
    prices = frontend.workspace.settings.prices
    chosen = parse_budget(limits, currency=prices.currency, stop=stop)
    if chosen.money is not None:
        _check_prices(prices, str(frontend.workspace.root / FILE))
    frontend.set_budget(chosen)
    return budget_view(frontend.budget())


def budget_view(state: BudgetState | None) -> View:
    """A budget and how much of it was used."""
    if state is None:
        return View("no budget", notes=["set one: %mlops budget 2h 5EUR; --stop interrupts the cell that exceeds it"])
    action = "the running cell is interrupted" if state.budget.stop else "a warning is shown, cells continue"
    return View(
        "budget of this session",
        facts=[("used", f"{share(state.used)}: {state.text()}"), ("when exceeded", action)],
        data={
            "seconds": state.seconds,
            "money": state.money,
            "limit_seconds": state.budget.seconds,
            "limit_money": state.budget.money,
            "currency": state.budget.currency,
            "stop": state.budget.stop,
        },
    )


def _check_prices(prices: PriceSettings, file: str) -> None:
    # Imported here: listing runs in a shell does not need the code that measures energy.
    from mlops_workbench.capture.resources.cost import prices_missing
    from mlops_workbench.capture.resources.energy import EnergyCounter

    if missing := prices_missing(prices, measured=EnergyCounter().counts_processors):
        raise SettingsError("a budget in money needs prices", where=file, hint=missing)


COMMANDS = (budget,)
