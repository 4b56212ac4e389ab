"""Values of a run as the texts of its card."""

from __future__ import annotations

import math
import re
from typing import Any

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.core.records import Dataset, as_float
from mlops_workbench.core.run_ranking import MetricChange, RunRanking
from mlops_workbench.core.shown.formats import change as signed
from mlops_workbench.core.shown.formats import number, share

#: MLflow's prefix of the metrics that measure resources.
SYSTEM = "system/"
_DIGEST = 8
_UNITS = {
    "megabytes": ("MB", 1.0), "mb": ("MB", 1.0), "bytes": ("MB", 1e-6), "gigabytes": ("GB", 1.0), "gb": ("GB", 1.0),
    "percentage": ("%", 1.0), "percent": ("%", 1.0), "seconds": ("s", 1.0), "s": ("s", 1.0), "watts": ("W", 1.0),
    "wh": ("Wh", 1.0), "kwh": ("kWh", 1.0), "eur": ("EUR", 1.0), "usd": ("USD", 1.0), "joules": ("J", 1.0),
}  # fmt: skip


def main_metrics(run: ActiveRun, ranking: RunRanking) -> list[MetricChange]:
    """The run's metrics without resources, with their changes if these are known."""
    known = {change.name: change for change in ranking.metrics}
    return [
        known.get(name) or MetricChange(name, as_float(value))
        for name, value in run.metrics.items()
        if not name.startswith(SYSTEM)
    ]


def change_text(change: MetricChange, ranking: RunRanking, name: str = "") -> str:
    """``−0.42 (3.6 %) better than linear; best so far``; empty if no other run has the metric.

    `name` is the run's own name, which the previous run may have too.
    """
    words = []
    difference = change.difference
    previous = "the previous run" if ranking.previous == name else shown_value(ranking.previous, 32)
    if difference == 0:
        words.append(f"same as {previous}")
    elif difference is not None:
        relative = f" ({share(abs(difference / change.previous), 1)})" if change.previous else ""
        judged = {True: "better than", False: "worse than", None: "against"}[change.improved]
        words.append(f"{signed(difference)}{relative} {judged} {previous}")
    if change.best is not None:
        words.append("best so far" if change.is_best else f"best is {number(change.best)}")
    return "; ".join(words)


def dataset_text(data: Dataset) -> str:
    """``X 200 x 3 #1a2b3c4d``, with ``sampled`` if the digest covers only a part."""
    size = f" {data.rows:,}" + (f" x {len(data.columns):,}" if data.columns else "") if data.rows else ""
    covers = {"sampled": " sampled", "shape": " (shape only)"}.get(data.covers, "")
    # The version of large data is computed after the card is shown.
    version = f"#{data.digest[:_DIGEST]}{covers}" if data.digest else "(version pending)"
    return f"{shown_value(data.name, 32)}{size} {version}"


def usage_text(run: ActiveRun) -> str:
    """Resources that the run used, from its ``system/`` metrics: ``peak memory 812 MB, cpu 93 %``."""
    words = []
    for name, value in run.metrics.items():
        if name.startswith(SYSTEM) and math.isfinite(as_float(value)):
            plain = name[len(SYSTEM) :]
            stem, _, unit = plain.rpartition("_")
            sign, factor = _UNITS.get(unit.lower(), ("", 1.0))
            shown = number(as_float(value) * factor)
            words.append(f"{re.sub(r'[_/]+', ' ', stem if sign else plain)} {shown}{' ' + sign if sign else ''}")
    return ", ".join(words[:6])


def shown_value(value: Any, limit: int = 48) -> str:
    """A value on one short line."""
    if isinstance(value, float) and math.isfinite(value):
        shown = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        shown = f"about 2^{value.bit_length() - 1}"
    else:
        shown = str(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
