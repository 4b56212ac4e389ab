"""Budgets: how much time and money the tracked work of a session may take."""

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
        Of tracked work; None for no limit.
    money : float or None
        By the price table; None for no limit.
    currency : str
        Of the money.
    stop : bool
        Interrupt the cell that goes beyond.
    """

    seconds: float | None = None
    money: float | None = None
    currency: str = ""
    stop: bool = False


@dataclass(frozen=True)
class BudgetState:
    """A budget and what was used of it.

    `money` is None when nothing has a price; `used` is the share that counts most, 1 for all of it.
    """

    budget: Budget
    seconds: float
    money: float | None

    @property
    def used(self) -> float:
        """Largest share of a limit that is used."""
        shares = [self.seconds / self.budget.seconds] if self.budget.seconds else []
        if self.budget.money and self.money is not None:
            shares.append(self.money / self.budget.money)
        return max(shares, default=0.0)

    def text(self) -> str:
        """``48 min 5 s of 1 h 0 min, 2.1 of 5 EUR``."""
        words = []
        if self.budget.seconds:
            words.append(f"{duration(self.seconds)} of {duration(self.budget.seconds)}")
        if self.budget.money:
            words.append(f"{number(self.money or 0.0)} of {number(self.budget.money)} {self.budget.currency}")
        return ", ".join(words)


def parse_budget(words: Sequence[str], *, currency: str, stop: bool = False) -> Budget:
    """Understand ``2h 5EUR``: one time (``90s 30min 1h30m 2d``), one amount of money, in any order.

    Parameters
    ----------
    words : sequence of str
        What was written.
    currency : str
        That of the price table; no other is understood.
    stop : bool
        Interrupt the cell that goes beyond.

    Raises
    ------
    InvalidInput
        A word is neither, comes twice, is zero, or is of another currency.
    """
    seconds: float | None = None
    money: float | None = None
    for word in words:
        time = _time(word)
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
        raise InvalidInput("a budget of nothing leaves nothing to do", hint="%mlops budget off takes it away")
    return Budget(seconds, money, currency if money is not None else "", stop)


def _time(word: str) -> float | None:
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
