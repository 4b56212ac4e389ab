"""Settings of estimators, and the structure of pipelines."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.capture.observe.estimators import is_estimator, is_part, own_params
from mlops_workbench.capture.observe.literals import bounded
from mlops_workbench.capture.record.values import plain
from mlops_workbench.core.members import own

_PLAIN = (bool, int, float, str)
_MAX_LINES = 100


@dataclass
class EstimatorSettings:
    """Chosen and default settings of estimators.

    Attributes
    ----------
    chosen : dict
        Classes of estimators, steps and columns, and settings that differ from the default of the class.
    defaults : dict
        The other settings.
    """

    chosen: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


def estimator_params(estimators: Iterable[tuple[str, Any]], params: dict[str, Any]) -> EstimatorSettings:
    """Return the settings of estimators, prefixed by the variable when there are several.

    Parameters
    ----------
    estimators : iterable of (name, estimator)
        Variables of the cell.
    params : dict
        Existing parameters. A setting with the name of one of them and another value is named ``variable.name``.

    Returns
    -------
    EstimatorSettings
        Nested estimators are represented by their class, the order of a pipeline's steps by ``steps``, and the
        columns of a part of a column transformer by ``<part>__columns``.
    """
    estimators = [(name, estimator) for name, estimator in estimators if is_estimator(estimator)]
    found = EstimatorSettings()
    for variable, estimator in estimators:
        settings, default = _settings(estimator)
        for name, value in settings.items():
            clash = name in params and not _same(value, params[name]) and plain(value) != params[name]
            group = found.defaults if name in default else found.chosen
            group[f"{variable}.{name}" if clash or len(estimators) > 1 else name] = value
    return found


def structure(estimator: Any) -> str:
    """Return the parts of a pipeline, a column transformer or a search, one per line; empty for other estimators."""
    lines: list[str] = []
    _describe(estimator, "", 0, lines)
    return "\n".join(lines) if len(lines) > 1 else ""


def _settings(estimator: Any) -> tuple[dict[str, Any], set[str]]:
    """Return settings, and the names of those with the default of the class."""
    values = own_params(estimator)
    owners = {"": estimator, **{name: value for name, value in values.items() if is_part(value)}}
    defaults = {name: _defaults(owner) for name, owner in owners.items()}
    settings: dict[str, Any] = {}
    default: set[str] = set()
    # A search or a wrapper has a setting 'estimator': combine the outer and the inner class.
    inner = values.pop("estimator", None)
    kind = type(estimator).__name__
    settings["estimator"] = f"{kind}({type(inner).__name__})" if is_part(inner) else kind
    for name, value in values.items():
        owner, _, last = name.rpartition("__")
        if is_part(value):
            settings[name] = type(value).__name__
        elif _holds_parts(value):
            settings[name] = [part[0] for part in value if isinstance(part, tuple | list)]
            settings.update(_columns(f"{owner}__" if owner else "", last, value))
        else:
            settings[name] = bounded(value)
            known = defaults.get(owner, {})
            if last in known and _same(value, known[last]):
                default.add(name)
    return settings, default


def _columns(prefix: str, name: str, value: Any) -> dict[str, Any]:
    """Return the columns of each part of a column transformer."""
    if name not in ("transformers", "transformer_list"):
        return {}
    found = {}
    for part in value:
        if isinstance(part, tuple | list) and len(part) == 3:
            found[f"{prefix}{part[0]}__columns"] = _selection(part[2])
    return found


def _selection(columns: Any) -> Any:
    if callable(columns):
        # ``make_column_selector``: its arguments.
        chosen = {name: value for name, value in own(columns).items() if value is not None}
        return bounded(f"{type(columns).__name__}({', '.join(f'{k}={v!r}' for k, v in chosen.items())})")
    if isinstance(columns, slice):
        return repr(columns)
    return bounded(columns.tolist() if hasattr(columns, "tolist") else columns)


def _describe(part: Any, name: str, depth: int, lines: list[str], columns: Any = None) -> None:
    if len(lines) >= _MAX_LINES:
        return
    kind = part if isinstance(part, str) else type(part).__name__
    lines.append(f"{'  ' * depth}{name + ': ' if name else ''}{kind}{'' if columns is None else f' {columns}'}")
    attributes = own(part)
    for key in ("steps", "transformers", "transformer_list", "estimators"):
        value = attributes.get(key)
        for item in value if isinstance(value, list) else ():
            if isinstance(item, tuple) and len(item) >= 2 and isinstance(item[0], str):
                _describe(item[1], item[0], depth + 1, lines, _selection(item[2]) if len(item) == 3 else None)
    for key in ("estimator", "final_estimator", "base_estimator"):
        if is_part(attributes.get(key)):
            _describe(attributes[key], key, depth + 1, lines)


def _holds_parts(value: Any) -> bool:
    """Whether it is a list of steps or parts, whose settings are listed separately."""
    return isinstance(value, list | tuple) and any(
        is_part(part) for item in value if isinstance(item, list | tuple) for part in item
    )


def _defaults(estimator: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(type(estimator)).parameters
    except (TypeError, ValueError):
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


def _same(value: Any, default: Any) -> bool:
    # Arrays do not compare to a single truth value.
    return value is default or (type(value) is type(default) and isinstance(value, _PLAIN) and value == default)
