"""Where the value of a name is: in an input or output of the stage, else at the path in the notebook's variable."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from mlops_workbench.core.errors import InvalidInput, NotFound, did_you_mean
from mlops_workbench.core.stage_io import STAGE_VARIABLE, StageIO, ValueType, read_stage_io

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Place:
    """The files of a name.

    Attributes
    ----------
    name : str
        The name.
    paths : list of str
        Paths or URLs.
    type : str
        The declared type, empty if there is none.
    several : bool
        Whether the name stands for a list of files.
    declared : bool
        Whether it is an input or output of the stage, and not only a variable.
    """

    name: str
    paths: list[str]
    type: ValueType = ""
    several: bool = False
    declared: bool = False


def place_to_load(name: str, names: Mapping[str, Any]) -> Place:
    """Return the files to load: those of an input, of an output that the stage has written, or of a variable.

    Parameters
    ----------
    name : str
        The name.
    names : mapping
        Namespace of the notebook.

    Raises
    ------
    NotFound
        There is no such input, output or variable.
    InvalidInput
        The variable does not hold a path.
    """
    stage = _stage()
    if (given := stage.inputs.get(name)) is not None:
        return Place(name, given.paths, given.type, len(given.paths) != 1, declared=True)
    if (made := stage.outputs.get(name)) is not None:
        return Place(name, [made.path], made.type, declared=True)
    if name not in names:
        raise _unknown(name, "input", [*stage.inputs, *stage.outputs], names)
    return _of_variable(name, names[name])


def place_to_save(name: str, names: Mapping[str, Any]) -> Place:
    """Return the file to write: that of an output, or of a variable; see `place_to_load`."""
    stage = _stage()
    if (made := stage.outputs.get(name)) is not None:
        return Place(name, [made.path], made.type, declared=True)
    if name in stage.inputs:
        raise InvalidInput(
            f"'{name}' is an input of this stage, which must not be written",
            hint="save under the name of an output; the outputs are " + (", ".join(stage.outputs) or "none"),
        )
    if name not in names:
        raise _unknown(name, "output", list(stage.outputs), names)
    place = _of_variable(name, names[name])
    if place.several:
        raise InvalidInput(
            f"the variable '{name}' stands for several files", hint="assign one path to it, to which the value is saved"
        )
    return place


def _stage() -> StageIO:
    path = os.environ.get(STAGE_VARIABLE)
    return _read(path) if path else StageIO()


@lru_cache(maxsize=1)
def _read(path: str) -> StageIO:
    return read_stage_io(Path(path))


def _of_variable(name: str, value: Any) -> Place:
    if isinstance(value, str | PurePath):
        text = os.fspath(value)
        if not text:
            raise InvalidInput(f"the variable '{name}' is empty", hint=_assign(name))
        if _MAGIC & set(text) and "://" not in text and not Path(text).exists():
            found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 a pattern may be absolute
            return Place(name, found or [text], several=True)
        return Place(name, [text])
    if isinstance(value, list | tuple) and value and all(isinstance(item, str | PurePath) for item in value):
        return Place(name, [os.fspath(item) for item in value], several=True)
    raise InvalidInput(
        f"the variable '{name}' holds {_described(value)} and no path",
        hint=f"load and save read the path from a variable of that name: {_assign(name)}",
    )


def _unknown(name: str, what: str, declared: list[str], names: Mapping[str, Any]) -> NotFound:
    known = [*declared, *(key for key, value in names.items() if key not in declared and _is_path(key, value))]
    hint = did_you_mean(name, known) if known else f"assign its path in the parameters cell: {_assign(name)}"
    return NotFound(f"there is no {what} '{name}', and no variable of that name", hint=hint)


def _is_path(name: str, value: Any) -> bool:
    if name.startswith("_"):
        return False
    return isinstance(value, PurePath) or (
        isinstance(value, str) and len(value) < 1000 and "\n" not in value and PurePath(value).suffix != ""
    )


def _assign(name: str) -> str:
    return f'{name} = "data/{name}.parquet"'


def _described(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
