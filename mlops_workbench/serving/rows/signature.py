"""Inputs of a model: its MLflow signature as typed columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.serving.errors import InvalidModel, InvalidRequest

ColumnType = Literal["boolean", "integer", "long", "float", "double", "string", "datetime"]

_COLUMN_TYPES = frozenset(get_args(ColumnType))

#: NumPy types of MLflow's tensor signatures, as column types.
_TENSOR_TYPES: dict[str, ColumnType] = {
    "bool": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "uint8": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "uint64": "long",
    "float16": "float",
    "float32": "float",
    "float64": "double",
    "str": "string",
    "object": "string",
}


@dataclass(frozen=True)
class InputColumn:
    """One input column.

    Attributes
    ----------
    name : str
        Name in requests and in the prediction log.
    type : str
        MLflow data type.
    required : bool
        Whether every request must have it; an optional one is filled with missing values.
    key : str or int
        Name in the training DataFrame (a number in one made from an array).
    """

    name: str
    type: ColumnType
    required: bool = True
    key: str | int = ""


@dataclass(frozen=True)
class Signature:
    """Inputs of a model, in the order of training.

    Attributes
    ----------
    columns : tuple of InputColumn
        The inputs; for a tensor signature the columns of the array, named ``"0"``, ``"1"`` and so on.
    form : str
        ``table`` (named columns), ``matrix`` (an array of shape (rows, columns)) or ``vector`` (an array of
        shape (rows,)).
    """

    columns: tuple[InputColumn, ...]
    form: Literal["table", "matrix", "vector"]

    @cached_property
    def by_name(self) -> Mapping[str, InputColumn]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> InputColumn:
        """The column of this name.

        Raises
        ------
        InvalidRequest
            There is no such column; the message names the nearest.
        """
        found = self.by_name.get(name)
        if found is None:
            raise InvalidRequest(f"the model has no input '{name[:200]}'; {did_you_mean(name[:200], self.by_name)}")
        return found

    def check_complete(self, given: frozenset[str] | set[str] | dict[str, Any]) -> None:
        """Raise `InvalidRequest` if a required column is missing."""
        missing = [column.name for column in self.columns if column.required and column.name not in given]
        if not missing:
            return
        extra = sorted(str(name)[:200] for name in given if name not in self.by_name)
        hint = f"; unknown: {_listed(extra)}" if extra else ""
        raise InvalidRequest(f"missing input column{'s' if len(missing) > 1 else ''} {_listed(missing)}{hint}")


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def parse_signature(raw: object, where: str) -> Signature:
    """Parse the ``signature`` of an MLmodel file, a mapping with ``inputs`` as JSON text.

    Raises
    ------
    InvalidModel
        There is no signature, or its inputs are not a table (images, nested objects).
    """
    inputs = raw.get("inputs") if isinstance(raw, Mapping) else None
    if not isinstance(inputs, str):
        raise InvalidModel(
            "the model has no input signature",
            where=where,
            hint="log it with an input example, from which the signature is inferred",
        )
    try:
        specs = msgspec.json.decode(inputs, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise InvalidModel(f"the signature is damaged: {error}", where=where) from error
    if len(specs) == 1 and specs[0].get("type") == "tensor":
        return _tensor(specs[0].get("tensor-spec"), where)
    columns = tuple(_column(position, spec, where) for position, spec in enumerate(specs))
    if not columns:
        raise InvalidModel("the signature has no input", where=where)
    if len({column.name for column in columns}) < len(columns):
        raise InvalidModel("the signature has an input twice", where=where)
    return Signature(columns, "table")


def _column(position: int, spec: Mapping[str, Any], where: str) -> InputColumn:
    key = spec.get("name", position)
    if spec.get("type") not in _COLUMN_TYPES or not isinstance(key, str | int):
        raise InvalidModel(
            f"input '{key}' has type '{spec.get('type')}', which an endpoint cannot serve",
            where=where,
            hint=f"use columns of the types {', '.join(get_args(ColumnType))}",
        )
    return InputColumn(str(key), spec["type"], bool(spec.get("required", True)), key)


def _tensor(spec: object, where: str) -> Signature:
    shape = spec.get("shape") if isinstance(spec, Mapping) else None
    kind = _TENSOR_TYPES.get(str(spec.get("dtype")).rstrip("0123456789")) if isinstance(spec, Mapping) else None
    kind = _TENSOR_TYPES.get(str(spec.get("dtype")), kind) if isinstance(spec, Mapping) else None
    match shape:
        case [int()] if kind:
            return Signature((InputColumn("0", kind, True, 0),), "vector")
        case [int(), int() as width] if kind and width > 0:
            return Signature(tuple(InputColumn(str(i), kind, True, i) for i in range(width)), "matrix")
    raise InvalidModel(
        f"the model takes a tensor of {spec}, which an endpoint cannot serve",
        where=where,
        hint="use a table, or an array of shape (rows, columns) of numbers or text",
    )
