"""``load`` and ``save``: values that one notebook hands to another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.exchange.files import is_url, local, open_to_read, writing
from mlops_workbench.capture.exchange.kinds import ending_of, type_of_path, type_to_write
from mlops_workbench.capture.exchange.places import Place, place_to_load, place_to_save
from mlops_workbench.capture.kernel.deferred import quietly
from mlops_workbench.capture.kernel.place import shell
from mlops_workbench.capture.session.session import current_session
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError


def load(name: str, *, as_list: bool = False) -> Any:
    """Return the value of an input.

    In a pipeline it is read from the input of the stage, elsewhere from the path in the variable `name` of the
    notebook, so that the notebook runs by hand, too: ``train = "data/train.parquet"`` in its parameters cell.

    Parameters
    ----------
    name : str
        Name of an input, of an output that was saved before, or of a variable with a path, a pattern or a list of
        paths.
    as_list : bool, default=False
        Return a list with the value of each file. By default, the tables of several files are put below each other.

    Returns
    -------
    object
        A table (pandas, unless another library saved it), an array or a dict of arrays, a model, the value in JSON, a
        figure of plotly, text, or bytes.

    Raises
    ------
    NotFound
        There is no such name or file.
    InvalidInput
        The file does not hold what its type or its ending says.

    Examples
    --------
    >>> train = load("train")
    """
    place = place_to_load(_name(name, "load"), _names(sys._getframe(1)))
    if not place.paths:
        raise NotFound(f"the input '{name}' has no files", hint="check the pattern of the input")
    found = [_load(place, path) for path in place.paths]
    if as_list:
        return found
    if len(found) == 1:
        return found[0]
    if all(type_of_path(path, place.type) == "table" for path in place.paths):
        from mlops_workbench.capture.exchange.tables import concatenated

        return _at(name, "", concatenated, found)
    return found


def save(name: str, value: Any) -> None:
    """Save the value of an output.

    In a pipeline it is written to the output of the stage, elsewhere to the path in the variable `name` of the
    notebook. A file is replaced at once, when the new one is complete. A model is also logged to the current run, so
    that it can be registered, and a table recorded as data of the run.

    Parameters
    ----------
    name : str
        Name of an output, or of a variable with a path.
    value : object
        A DataFrame or Series of pandas or polars or a pyarrow Table (``.parquet``, ``.feather``, ``.csv``), an array
        (``.npy``) or a dict of arrays (``.npz``), a scikit-learn model (``.skops``), numbers, texts, lists and dicts
        (``.json``), a figure (``.png``, ``.svg``, ``.html``, ``.json``), text or bytes.

    Raises
    ------
    NotFound
        There is no such name.
    InvalidInput
        The value does not suit the type of the output or the ending of the path, or the format cannot hold it
        without loss.
    StorageError
        The file cannot be written.

    Examples
    --------
    >>> save("clf", model)
    """
    place = place_to_save(_name(name, "save"), _names(sys._getframe(1)))
    (path,) = place.paths
    kind = type_to_write(name, value, path, place.type)
    with writing(name, path) as file:
        _at(name, path, _write, kind, value, file, ending_of(path))
    if kind in ("model", "table"):
        quietly(f"the value of '{name}'", lambda: _record(name, kind, value, path))


def _load(place: Place, path: str) -> Any:
    kind, ending = type_of_path(path, place.type), ending_of(path)
    if kind == "table" and not is_url(path) and local(path).is_dir():
        from mlops_workbench.capture.exchange.tables import read_table

        return _at(place.name, path, read_table, str(local(path)), ending)
    with open_to_read(place.name, path) as file:
        return _at(place.name, path, _read, kind, file, ending)


def _read(kind: str, file: Any, ending: str) -> Any:
    # Each kind imports its libraries only when it is used.
    if kind == "table":
        from mlops_workbench.capture.exchange.tables import read_table

        return read_table(file, ending)
    if kind == "array":
        from mlops_workbench.capture.exchange.arrays import read_arrays

        return read_arrays(file, ending)
    if kind == "model":
        from mlops_workbench.capture.exchange.models import read_model

        return read_model(file, ending, _trusted())
    if kind == "figure":
        from mlops_workbench.capture.exchange.figures import read_figure

        return read_figure(file.read(), ending)
    from mlops_workbench.capture.exchange.plain import file_value, from_json

    return from_json(file.read()) if kind == "json" else file_value(file.read(), ending)


def _write(kind: str, value: Any, file: Any, ending: str) -> None:
    if kind == "table":
        from mlops_workbench.capture.exchange.tables import write_table

        write_table(value, file, ending)
    elif kind == "array":
        from mlops_workbench.capture.exchange.arrays import write_arrays

        write_arrays(value, file, ending)
    elif kind == "model":
        from mlops_workbench.capture.exchange.models import write_model

        write_model(value, file, ending, _trusted())
    elif kind == "figure":
        from mlops_workbench.capture.exchange.figures import write_figure

        write_figure(value, file, ending)
    else:
        from mlops_workbench.capture.exchange.plain import file_bytes, json_bytes

        file.write_bytes(json_bytes(value) if kind == "json" else file_bytes(value))


def _record(name: str, kind: str, value: Any, path: str) -> None:
    run = current_session().current_run()
    if run is None:
        return
    if kind == "model":
        run.log_model(value, name)
    else:
        run.log_dataset(value, name, context="output", source=path)


def _at(name: str, path: str, work: Any, *arguments: Any) -> Any:
    """Do work, whose errors get the name and the path of the value."""
    try:
        return work(*arguments)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", where=path or None, hint=error.hint) from error


def _trusted() -> list[str]:
    try:
        return current_session().workspace.settings.serving.trusted_types
    except WorkbenchError:
        return []


def _name(name: Any, function: str) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidInput(
            f"{function} takes the name of an input or output, not a value of type {type(name).__name__}",
            hint=f'{function}("name"{", value" if function == "save" else ""})',
        )
    return name


def _names(caller: Any) -> Mapping[str, Any]:
    """Return the namespace of the notebook; in a script that of the caller."""
    session = shell()
    if session is not None:
        names: Mapping[str, Any] = session.user_ns
        return names
    return {**caller.f_globals, **caller.f_locals}
