"""Budgets: limits on the time and money that the tracked runs of a session may use."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.shown.formats import duration, number

_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(d|h|min|m|s)")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_MONEY = re.compile(r"(\d+(?:[.,]\d+)?|\.\d+)\s*([^\W\d_]{2,8}|[€$£¥])\Z|([€$£¥])\s*(\d+(?:[.,]\d+)?|\.\d+)\Z")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_HINT = "for example: %mlops budget 2h 5EUR --stop"


@dataclass(frozen=True)
class Budget:
    """A limit.

    Attributes
    ----------
    seconds : float or None
        Limit on the time of tracked runs, in seconds; None: no limit.
    money : float or None
        Limit on their cost by the price table; None: no limit.
    currency : str
        Currency of `money`.
    stop : bool
        Whether the cell that exceeds the budget is interrupted.
    """

    seconds: float | None = None
    money: float | None = None
    currency: str = ""
    stop: bool = False


@dataclass(frozen=True)
class BudgetState:
    """A budget with the seconds and the money used so far; `money` is None when there are no prices."""

    budget: Budget
    seconds: float
    money: float | None

    @property
    def used(self) -> float:
        """Used share of the limit that is closest to its end; 1 when that limit is reached."""
        shares = [self.seconds / self.budget.seconds] if self.budget.seconds else []
        if self.budget.money and self.money is not None:
            shares.append(self.money / self.budget.money)
        return max(shares, default=0.0)

    def text(self) -> str:
        """Format the state: ``48 min 5 s of 1 h 0 min, 2.1 of 5 EUR``."""
        words = []
        if self.budget.seconds:
            words.append(f"{duration(self.seconds)} of {duration(self.budget.seconds)}")
        if self.budget.money:
            words.append(f"{number(self.money or 0.0)} of {number(self.budget.money)} {self.budget.currency}")
        return ", ".join(words)


def parse_budget(words: Sequence[str], *, currency: str, stop: bool = False) -> Budget:
    """Parse ``2h 5EUR``: at most one time (``90s 30min 1h30m 2d``) and one amount of money, in any order.

    Parameters
    ----------
    words : sequence of str
        Arguments of the command.
    currency : str
        Currency of the price table, the only one that is accepted.
    stop : bool
        Whether the cell that exceeds the budget is interrupted.

    Raises
    ------
    InvalidInput
        There is no word, or a word is neither, is a second one of its kind, is zero, or is in another currency.
    """
    seconds: float | None = None
    money: float | None = None
    for word in words:
        time = seconds_of(word)
        amount = _money(word, currency) if time is None else None
        if time is not None and seconds is None:
            seconds = time
        elif amount is not None and money is None:
            money = amount
        elif time is not None or amount is not None:
            raise InvalidInput(f"'{word}' is a second limit of the same kind", hint=_HINT)
        else:
            raise InvalidInput(f"'{word}' is neither a time nor an amount of money", hint=_HINT)
    if seconds is None and money is None:
        raise InvalidInput("a budget needs a time, an amount of money, or both", hint=_HINT)
    if seconds == 0 or money == 0:
        raise InvalidInput("a budget must be larger than zero", hint="%mlops budget off removes the budget")
    return Budget(seconds, money, currency if money is not None else "", stop)


def seconds_of(word: str) -> float | None:
    """Return the seconds of a time such as ``90s``, ``30min`` or ``1h30m``; None if the text is none."""
    lower, position, total = word.lower(), 0, 0.0
    while position < len(lower):
        found = _TIME.match(lower, position)
        if found is None:
            return None
        total += float(found[1]) * _SECONDS[found[2]]
        position = found.end()
    return total if lower and math.isfinite(total) else None


def _money(word: str, currency: str) -> float | None:
    found = _MONEY.match(word)
    if found is None:
        return None
    amount, unit = (found[1], found[2]) if found[1] else (found[4], found[3])
    named = _SIGNS.get(unit, unit.upper())
    if named != _SIGNS.get(currency, currency.upper()):
        raise InvalidInput(
            f"'{word}' is not in {currency}, the currency of the prices",
            hint=f'write {amount}{currency}, or set [prices] currency = "{named}" in workbench.toml',
        )
    return float(amount.replace(",", "."))
