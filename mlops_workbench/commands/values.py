"""Values of a command line."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from mlops_workbench.core.budgets import seconds_of
from mlops_workbench.core.errors import UNREADABLE, InvalidInput, NotFound

#: Numbers such as 1e-3, which YAML 1.1 takes for text.
_EXPONENT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class GivenParameters:
    """Parameters of a command: values from a file, and texts as they were typed."""

    params: dict[str, Any]
    texts: dict[str, str]


def parameter_options(command: Command) -> Command:
    """Add ``-p`` and ``--params-file`` to a command, as the arguments `texts` and `file` of its function."""
    param = click.option("-p", "--param", "texts", multiple=True, metavar="NAME=VALUE", help="Parameter; repeatable.")
    file = click.option(
        "--params-file", "file", metavar="FILE", help="YAML or JSON file with parameters; -p goes before it."
    )
    return param(file(command))


def given_parameters(texts: Iterable[str], file: str | None) -> GivenParameters:
    """What ``-p`` and ``--params-file`` give; raises InvalidInput or NotFound."""
    typed = parse_texts(texts)
    values = read_params_file(Path(file)) if file else {}
    return GivenParameters({name: value for name, value in values.items() if name not in typed}, typed)


def parse_texts(texts: Iterable[str], example: str = "-p month=3") -> dict[str, str]:
    """``["month=3", "where=a=b"]`` as a dict of what follows the first ``=``.

    Raises
    ------
    InvalidInput
        A text is not of the form ``name=value``, or a name occurs twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"'{text}' is not of the form name=value", hint=f"for example: {example}")
        if name.strip() in values:
            raise InvalidInput(f"parameter '{name.strip()}' is given twice", hint="give it once")
        values[name.strip()] = value
    return values


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """``["month=3", "months=[1, 2]"]`` as a dict; values are parsed as YAML, so text needs no quotes.

    Raises
    ------
    InvalidInput
        A text is not of the form ``name=value``, or a name occurs twice.
    """
    return {name: _scalar(text) for name, text in parse_texts(texts).items()}


def read_params_file(path: Path) -> dict[str, Any]:
    """Values of parameters from a YAML or JSON file, as JSON has them: dates are text.

    Raises
    ------
    NotFound
        There is no such file.
    InvalidInput
        The file is not readable, or is no mapping of names to values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file '{path}'", hint="give a YAML or JSON file with names and values") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read '{path}': {error}") from error
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, *UNREADABLE) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise InvalidInput(f"not valid YAML: {problem}", where=f"{path}{place}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InvalidInput(
            "the file is not a mapping of names to values", where=str(path), hint="write one parameter a line: month: 3"
        )
    return {name: _plain(value, f"{path}: {name}") for name, value in found.items()}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``10m`` or ``1h30m``, or of a plain number.

    Raises
    ------
    InvalidInput
        It is no time above zero.
    """
    seconds = seconds_of(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    if not seconds:
        raise InvalidInput(f"'{text}' is not a time", hint="for example: 90s, 10m, 1h30m")
    return seconds


class _Loader(yaml.SafeLoader):
    """Reads the numbers that YAML 1.1 takes for text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, *UNREADABLE):
        return text
    # Dates stay text: the declared type of the parameter decides.
    return value if isinstance(value, bool | int | float | list) or (value is None and text in ("null", "~")) else text


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidInput(
        f"a value of type {type(value).__name__} cannot be given", where=where, hint="write text, numbers or lists"
    )
