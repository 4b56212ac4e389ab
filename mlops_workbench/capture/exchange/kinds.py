"""What a value is, and what a path can hold."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import Any, Literal

from mlops_workbench.capture.observe.estimators import is_estimator
from mlops_workbench.capture.observe.networks import is_network
from mlops_workbench.capture.run.figures import drawing_of
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.members import has, is_a
from mlops_workbench.core.stage_io import ValueType

#: Kind of a value; `text` is JSON or a file, as the path says.
Kind = Literal["table", "array", "model", "json", "figure", "file", "text"]

_ENDINGS: dict[str, tuple[str, ...]] = {
    "table": (".parquet", ".feather", ".csv"),
    "array": (".npy", ".npz"),
    "model": (".skops",),
    "json": (".json",),
    "figure": (".png", ".svg", ".pdf", ".html"),
}
_BY_ENDING = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings} | {
    ".pq": "table",
    ".arrow": "table",
}


def ending_of(path: str) -> str:
    """Return the ending of a path or URL in lower case: ``.csv``."""
    return PurePath(path.partition("?")[0] if "://" in path else path).suffix.lower()


def type_of_path(path: str, declared: ValueType) -> str:
    """Return the type of what is read from a path: the declared one, else that of the ending, else ``file``."""
    return declared if declared not in ("", "file") else _BY_ENDING.get(ending_of(path), "file")


def type_to_write(name: str, value: Any, path: str, declared: ValueType) -> str:
    """Return the type as which a value is written.

    Raises
    ------
    InvalidInput
        The declared type, or the ending of the path, does not suit the value.
    """
    kind = kind_of_value(value)
    ending = ending_of(path)
    if declared not in ("", "file"):
        fits = kind == declared or (kind == "text" and declared == "json")
        if not fits:
            raise InvalidInput(
                f"the output '{name}' has the type {declared}, and the value is {_described(value, kind)}",
                where=path,
                hint=f"save a value of the type {declared}, or change the type of the output",
            )
        return declared
    if kind == "text":
        return "json" if ending == ".json" else "file"
    if kind == "file" or _BY_ENDING.get(ending) == kind or (kind == "figure" and _suits_figure(value, ending)):
        return kind
    raise InvalidInput(
        f"{_described(value, kind)} cannot be saved to a path that ends in '{ending}'",
        where=path,
        hint=f"end the path of '{name}' in {' or '.join(_ENDINGS[kind])}",
    )


def kind_of_value(value: Any) -> Kind:
    """Return what a value is.

    Raises
    ------
    InvalidInput
        It is nothing that can be saved.
    """
    from mlops_workbench.data.tables.kinds import kind_of

    if isinstance(value, str):
        return "text"
    if isinstance(value, bytes | bytearray | memoryview):
        return "file"
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and is_a(value, numpy.ndarray):
        return "array"
    if isinstance(value, dict) and value and numpy is not None and all(is_a(v, numpy.ndarray) for v in value.values()):
        return "array"
    if value is None or isinstance(value, bool | int | float | dict | list | tuple):
        return "json"
    if numpy is not None and is_a(value, numpy.generic):
        return "json"
    if (found := kind_of(value)) in ("frame", "series", "arrow", "polars"):
        return "table"
    if found == "lazy":
        raise InvalidInput("a LazyFrame has no rows yet", hint="save its result: save(name, frame.collect())")
    if found == "sparse":
        raise InvalidInput(
            "a sparse matrix cannot be saved as an array",
            hint='save its parts: save(name, {"data": m.data, "indices": m.indices, "indptr": m.indptr})',
        )
    if drawing_of(value) is not None or has(value, "to_plotly_json") or has(value, "_repr_svg_"):
        return "figure"
    if is_network(value):
        raise InvalidInput(
            f"the network {type(value).__name__} cannot be saved without pickle, which can run any code on loading",
            hint="save its weights as a dict of arrays, and log_model(network) to register it",
        )
    if not isinstance(value, type) and (
        is_estimator(value) or hasattr(value, "predict") or hasattr(value, "transform")
    ):
        return "model"
    raise InvalidInput(
        f"a value of type {type(value).__module__}.{type(value).__qualname__} cannot be saved",
        hint="save tables, arrays, scikit-learn models, figures, texts, bytes, numbers, or lists and dicts of them",
    )


def _suits_figure(value: Any, ending: str) -> bool:
    return ending in (".jpg", ".jpeg") if drawing_of(value) is not None else ending == ".json"


def _described(value: Any, kind: Kind) -> str:
    name = type(value).__name__
    words = {"table": "a table", "array": "an array", "model": "a model", "figure": "a figure", "json": "JSON"}
    return f"{words[kind]} ({name})" if kind in words else "text" if kind == "text" else f"bytes ({name})"
