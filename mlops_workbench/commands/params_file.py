"""Files with the parameters of a run."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlops_workbench.core.errors import UNREADABLE, InvalidInput, NotFound

#: Numbers such as 1e-3, which YAML 1.1 takes for text.
_EXPONENT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")


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


class _Loader(yaml.SafeLoader):
    """Reads the numbers that YAML 1.1 takes for text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


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
