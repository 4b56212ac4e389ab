"""Values of a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from mlops_workbench.core.budgets import seconds_of
from mlops_workbench.core.errors import UNREADABLE, InvalidInput

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
    values: dict[str, Any] = {}
    if file:
        from mlops_workbench.commands.params_file import read_params_file

        values = read_params_file(Path(file))
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


def _scalar(text: str) -> Any:
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, *UNREADABLE):
        return text
    # Dates stay text: the declared type of the parameter decides.
    return value if isinstance(value, bool | int | float | list) or (value is None and text in ("null", "~")) else text
