"""Whether a stage that ran to its end has the metrics that it must have, and passes its gate; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.core.gates import MetricValues, evaluate
from mlops_workbench.core.models import GateResult
from mlops_workbench.core.records import Number
from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.wire.json_numbers import json_number

#: Metrics that the reason of a refusal shows.
_SHOWN = 6


def lacking(needed: Iterable[str], metrics: Mapping[str, Number]) -> str:
    """The reason why the metrics of a stage's run are not enough; empty if all that it needs are there."""
    missing = [name for name in needed if name not in metrics]
    if not missing:
        return ""
    names = " and ".join(f"'{name}'" for name in missing)
    hint = did_you_mean(missing[0], metrics) if metrics else "it has logged no metric"
    return f"its run has no metric {names}: {hint}"


def judge(
    gate: list[str], metrics: Mapping[str, Number], champion: MetricValues | None, now: int, first: Iterable[str] = ()
) -> str:
    """Why the metrics of a stage do not pass its gate, in one line; empty if they pass.

    Parameters
    ----------
    gate : list of str
        Conditions.
    metrics : mapping
        Metrics of the stage's run.
    champion : mapping or None
        Metrics of the present champion.
    now : int
        Milliseconds since the epoch.
    first : iterable of str
        Metrics to show first: those that the stage declares.
    """
    try:
        result = evaluate(gate, _values(metrics), champion=champion, at_ms=now)
    except InvalidInput as error:
        return f"its gate cannot be evaluated: {error.message}"
    return "" if result.passed else _refusal(result, metrics, first)


def _refusal(result: GateResult, metrics: Mapping[str, Number], first: Iterable[str]) -> str:
    failed = "; ".join(
        f"{check.condition} ({check.detail})" if check.detail else check.condition
        for check in result.checks
        if not check.passed
    )
    names = list(dict.fromkeys([*(name for name in first if name in metrics), *metrics]))[:_SHOWN]
    shown = ", ".join(f"{name} {number(metrics[name])}" for name in names)
    return f"gate failed: {failed}" + (f"; metrics: {shown}" if shown else "")


def _values(metrics: Mapping[str, Number]) -> MetricValues:
    return {name: json_number(value) for name, value in metrics.items()}


def outcome(states: Mapping[str, str], messages: Mapping[str, str], *, named: bool) -> tuple[str, str]:
    """State and message of a run by the states and messages of its stages; `named`: the message names the stages."""

    def reasons(state: str, verb: str) -> str:
        names = [name for name, found in states.items() if found == state]
        return "; ".join(f"stage '{name}' {verb}: {messages[name]}" if named else messages[name] for name in names)

    found = set(states.values())
    if "failed" in found:
        return "failed", reasons("failed", "failed")
    if "cancelled" in found:
        return "cancelled", "cancelled"
    if "refused" in found:
        return "not_published", reasons("refused", "was refused")
    return "succeeded", ""
