"""Cost of computing: time, processor time, energy, money."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from mlops_workbench.capture.resources.energy import EnergyCounter
from mlops_workbench.capture.resources.usage import ProcessUsage, process_usage
from mlops_workbench.core.settings import PriceSettings

_JOULES_PER_WH = 3600.0


@dataclass(frozen=True)
class Cost:
    """Cost since a meter was started.

    Attributes
    ----------
    seconds, cpu_seconds : float
        Duration; processor time of the process and its children.
    energy_wh : float or None
        Watt-hours, None when they can be neither measured nor estimated.
    measured : bool
        Whether all of the energy was measured, not estimated.
    money : float or None
        Money by the price table, None without prices.
    """

    seconds: float
    cpu_seconds: float
    energy_wh: float | None
    measured: bool
    money: float | None


class Meter:
    """Measures the cost since its creation.

    Parameters
    ----------
    counter : EnergyCounter
        Counter of joules.
    prices : PriceSettings
        The price table.
    usage : ProcessUsage, optional
        Current usage of the process, if the caller has just read it.
    """

    def __init__(self, counter: EnergyCounter, prices: PriceSettings, usage: ProcessUsage | None = None) -> None:
        self._counter = counter
        self._prices = prices
        self._at = time.monotonic()
        self._before = usage or process_usage()
        self._processors = counter.processors()
        self._gpus = counter.gpus()

    def read(self, usage: ProcessUsage | None = None) -> Cost:
        """Return the cost so far; pass `usage` if it was just read."""
        seconds = time.monotonic() - self._at
        cpu = (usage or process_usage()).since(self._before)
        joules, measured = self._joules(seconds, cpu)
        energy = None if joules is None else joules / _JOULES_PER_WH
        return Cost(seconds, cpu, energy, measured, money_of(self._prices, seconds, energy))

    def _joules(self, seconds: float, cpu: float) -> tuple[float | None, bool]:
        gpus = self._counter.gpus() - self._gpus
        if self._counter.counts_processors:
            return self._counter.processors() - self._processors + gpus, True
        prices = self._prices
        if not prices.busy_watts:
            # The energy of the GPUs alone is not that of the machine.
            return None, False
        share = cpu / (os.cpu_count() or 1)
        return prices.idle_watts * seconds + max(0.0, prices.busy_watts - prices.idle_watts) * share + gpus, False


def money_of(prices: PriceSettings, seconds: float, energy_wh: float | None) -> float | None:
    """Return the money for a machine's time and energy; None when the table has no price for either."""
    hour = prices.per_hour.get(prices.machine)
    if hour is None and not (prices.per_kwh and energy_wh is not None):
        return None
    return (hour or 0.0) * seconds / 3600 + prices.per_kwh * (energy_wh or 0.0) / 1000


def prices_missing(prices: PriceSettings, *, measured: bool = False) -> str:
    """Describe the settings in ``workbench.toml`` that are missing to compute money; empty when there are all.

    Parameters
    ----------
    prices : PriceSettings
        The price table.
    measured : bool
        Whether energy is measured on this machine.
    """
    if prices.machine and prices.machine not in prices.per_hour:
        known = ", ".join(sorted(prices.per_hour)) or "none"
        return f"[prices] machine = '{prices.machine}' has no price in per_hour (known: {known})"
    if prices.machine or (prices.per_kwh and (prices.busy_watts or measured)):
        return ""
    return (
        'add to workbench.toml:  [prices]  machine = "laptop"  per_hour = { laptop = 0.05 }'
        "  (or per_kwh = 0.30 with idle_watts = 10 and busy_watts = 65)"
    )
