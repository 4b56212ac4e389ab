"""Gates: conditions on metrics, parsed with an allow-list of syntax and never evaluated as Python.

A condition compares numbers: ``mae < 15``, ``mae < 0.9 * baseline.mae and mae <= champion.mae``. Names are
metrics of the candidate; ``champion.<metric>`` and ``baseline.<metric>`` are those of the present champion and
of a baseline run. Names with other characters are put in backticks, or written ``metrics["a/b"]``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops_workbench.core.errors import UNREADABLE, InvalidInput, did_you_mean
from mlops_workbench.core.models import GateCheck, GateResult
from mlops_workbench.core.shown.formats import number, pair
from mlops_workbench.core.wire.json_numbers import JsonNumber, finite_number, real_number
from mlops_workbench.core.wire.patterns import MAX_CONDITION

#: Metrics by name; None for an unknown value.
MetricValues = Mapping[str, JsonNumber | None]

_SCOPES = ("metrics", "champion", "baseline")
#: Sign of a comparison, sign of its opposite, and the comparison.
_COMPARE: dict[type[ast.cmpop], tuple[str, str, Callable[[float, float], bool]]] = {
    ast.Lt: ("<", ">=", operator.lt),
    ast.LtE: ("<=", ">", operator.le),
    ast.Gt: (">", "<=", operator.gt),
    ast.GtE: (">=", "<", operator.ge),
    ast.Eq: ("==", "!=", operator.eq),
    ast.NotEq: ("!=", "==", operator.ne),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_HINT = "compare metrics and numbers, for example: mae < 15 and mae <= champion.mae"
_QUOTED = re.compile(r"`([^`]*)`")
_PLACEHOLDER = "__quoted_{}__"


@dataclass(frozen=True)
class _Condition:
    """A parsed condition; `quoted` maps placeholders to the names in backticks."""

    text: str
    tree: ast.expr
    quoted: dict[str, str]


@dataclass
class _Evaluation:
    """Metrics for a condition, and notes on its parts."""

    condition: _Condition
    scopes: dict[str, MetricValues | None]
    notes: list[str] = field(default_factory=list)


class _NoChampion(Exception):
    """A metric of the champion is used while there is no champion."""


class _NoValue(Exception):
    """A part of a condition has no value; the message gives the reason."""


def check_conditions(conditions: list[str]) -> None:
    """Check the syntax of conditions without any metric.

    Raises
    ------
    InvalidInput
        A condition is not valid; ``where`` holds it.
    """
    for text in conditions:
        _parse(text)


def condition_metrics(text: str) -> list[tuple[str, str]]:
    """Metrics in a condition: pairs of ``metrics``, ``champion`` or ``baseline`` and the name, in their order.

    Raises
    ------
    InvalidInput
        The condition is not valid.
    """
    condition = _parse(text)
    found = (_metric(condition, node) for node in ast.walk(condition.tree) if isinstance(node, ast.expr))
    return list(dict.fromkeys(metric for metric in found if metric is not None))


def evaluate(
    conditions: list[str],
    candidate: MetricValues,
    *,
    champion: MetricValues | None = None,
    baseline: MetricValues | None = None,
    at_ms: int,
) -> GateResult:
    """Evaluate a gate for a candidate.

    A comparison with an unknown metric or NaN fails. One with ``champion.<metric>`` holds while there is no champion;
    one with ``baseline.<metric>`` fails without a baseline. A gate without conditions passes.

    Parameters
    ----------
    conditions : list of str
        All of them must hold.
    candidate : mapping
        Metrics of the candidate by name.
    champion, baseline : mapping, optional
        Metrics of the present champion, and of the baseline run.
    at_ms : int
        Time of the evaluation in milliseconds since the epoch.

    Raises
    ------
    InvalidInput
        A condition is not valid.
    """
    scopes = {"metrics": candidate, "champion": champion, "baseline": baseline}
    checks = [_check(_parse(text), scopes) for text in conditions]
    return GateResult(passed=all(check.passed for check in checks), checks=checks, at_ms=at_ms)


def _parse(text: str) -> _Condition:
    quoted: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str:
        placeholder = _PLACEHOLDER.format(len(quoted))
        quoted[placeholder] = match.group(1)
        return placeholder

    if len(text) > MAX_CONDITION:
        hint = f"use several conditions of at most {MAX_CONDITION} characters"
        raise InvalidInput("the condition is too long", where=text[:60], hint=hint)
    try:
        tree = ast.parse(_QUOTED.sub(hide, text).strip(), mode="eval").body
    except UNREADABLE as error:
        raise InvalidInput(f"not a condition: {error}", where=text, hint=_HINT) from error
    condition = _Condition(text, tree, quoted)
    _check_truth(condition, tree)
    if not any(isinstance(node, ast.Name | ast.Attribute | ast.Subscript) for node in ast.walk(tree)):
        raise _refused(condition, "it compares no metric, so its result is always the same")
    return condition


def _check_truth(condition: _Condition, node: ast.expr) -> None:
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            _check_truth(condition, part)
    elif isinstance(node, ast.Compare):
        for kind in node.ops:
            if type(kind) not in _COMPARE:
                raise _refused(condition, "only < <= > >= == != are allowed")
        for part in (node.left, *node.comparators):
            _check_number(condition, part)
    else:
        raise _refused(condition, "each part must be a comparison")


def _check_number(condition: _Condition, node: ast.expr) -> None:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check_number(condition, node.left)
        _check_number(condition, node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        _check_number(condition, node.operand)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise _refused(condition, f"{node.value!r} is not a number")
    elif _metric(condition, node) is None:
        raise _refused(condition, f"'{ast.unparse(node)}' is not allowed")


def _refused(condition: _Condition, why: str) -> InvalidInput:
    for placeholder, name in condition.quoted.items():
        why = why.replace(placeholder, f"`{name}`")
    return InvalidInput(f"not a condition: {why}", where=condition.text, hint=_HINT)


def _metric(condition: _Condition, node: ast.expr) -> tuple[str, str] | None:
    """Scope and name of a metric, None if the node is not a metric."""
    if isinstance(node, ast.Name):
        return ("metrics", condition.quoted.get(node.id, node.id)) if node.id not in _SCOPES else None
    if not isinstance(node, (ast.Attribute, ast.Subscript)):
        return None
    if not isinstance(node.value, ast.Name) or node.value.id not in _SCOPES:
        return None
    if isinstance(node, ast.Attribute):
        return node.value.id, condition.quoted.get(node.attr, node.attr)
    if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.value.id, node.slice.value
    return None


def _check(condition: _Condition, scopes: dict[str, MetricValues | None]) -> GateCheck:
    evaluation = _Evaluation(condition, scopes)
    passed = _truth(evaluation, condition.tree)
    return GateCheck(condition.text, passed, "; ".join(dict.fromkeys(evaluation.notes)))


def _truth(evaluation: _Evaluation, node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        # Without short-circuiting, so that the detail shows every number.
        parts = [_truth(evaluation, part) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    assert isinstance(node, ast.Compare)
    try:
        numbers = [_number(evaluation, part) for part in (node.left, *node.comparators)]
    except _NoChampion:
        evaluation.notes.append("no champion yet")
        return True
    except _NoValue as error:
        evaluation.notes.append(str(error))
        return False
    holds = True
    for kind, left, right in zip(node.ops, numbers, numbers[1:], strict=False):
        sign, opposite, compare = _COMPARE[type(kind)]
        true = compare(left, right)
        first, second = pair(left, right)
        evaluation.notes.append(f"{first} {sign if true else opposite} {second}")
        holds = holds and true
    return holds


def _number(evaluation: _Evaluation, node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        left, right = _number(evaluation, node.left), _number(evaluation, node.right)
        try:
            value = _ARITHMETIC[type(node.op)](left, right)
        except ZeroDivisionError:
            raise _NoValue(f"division by zero in '{ast.unparse(node)}'") from None
        if not math.isfinite(value):
            raise _NoValue(f"'{ast.unparse(node)}' is not finite")
        return value
    if isinstance(node, ast.UnaryOp):
        value = _number(evaluation, node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, (int, float))
        try:
            return float(node.value)
        except OverflowError:
            raise _NoValue("a number is too large") from None
    found = _metric(evaluation.condition, node)
    assert found is not None
    return _value(evaluation.scopes, *found)


def _value(scopes: dict[str, MetricValues | None], scope: str, name: str) -> float:
    values = scopes[scope]
    if values is None:
        if scope == "champion":
            raise _NoChampion
        raise _NoValue("no baseline was given")
    owner = {"metrics": "the candidate", "champion": "the champion", "baseline": "the baseline"}[scope]
    if name not in values:
        raise _NoValue(f"{owner} has no metric '{name}': {did_you_mean(name, values)}")
    value = finite_number(values[name])
    if value is None:
        measured = values[name]
        shown = number(None if measured is None else real_number(measured))
        raise _NoValue(f"'{name}' of {owner} is not a finite number, but {shown}")
    return value
