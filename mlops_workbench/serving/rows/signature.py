"""Inputs of a model: its schema, or its MLflow signature, as typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.core.model_schema import ONE_COLUMN, WIRE_TYPES, ModelSchema, WireType, decode_schema
from mlops_workbench.data.fitted.inputs import ModelInputs
from mlops_workbench.serving.errors import InvalidModel, InvalidRequest

ColumnType = WireType

#: NumPy type of a column; text and optional booleans are objects, with None for missing values.
DTYPES: dict[ColumnType, np.dtype[Any]] = {
    "boolean": np.dtype(bool),
    "integer": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "string": np.dtype(object),
    "datetime": np.dtype("datetime64[ns]"),
}

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
    nullable : bool or None
        Whether the model gives answers for missing values; None when unknown.
    exact : dtype, optional
        NumPy type of the values if it is narrower or wider than that of `type`.
    """

    name: str
    type: ColumnType
    required: bool = True
    key: str | int = ""
    nullable: bool | None = None
    exact: np.dtype[Any] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of the values."""
        return DTYPES[self.type] if self.exact is None else self.exact


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
    inputs : ModelInputs, optional
        Restores what the model was fitted on; None for a model without a schema.
    """

    columns: tuple[InputColumn, ...]
    form: Literal["table", "matrix", "vector"]
    inputs: ModelInputs | None = None

    @cached_property
    def by_name(self) -> Mapping[str, InputColumn]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def required(self) -> frozenset[str]:
        """Names of the columns that every request must have."""
        return frozenset(column.name for column in self.columns if column.required)

    @cached_property
    def types(self) -> frozenset[ColumnType]:
        """Types of the columns."""
        return frozenset(column.type for column in self.columns)

    @cached_property
    def is_double(self) -> bool:
        """Whether all columns are floats of 64 bits."""
        return all(column.type == "double" and column.dtype == np.float64 for column in self.columns)

    @cached_property
    def are_floats_present(self) -> bool:
        """Whether a column of floats takes no missing values."""
        return any(column.nullable is False and column.type in ("float", "double") for column in self.columns)

    @cached_property
    def wide(self) -> list[int]:
        """Positions of the columns of integers of 64 bits."""
        return [at for at, column in enumerate(self.columns) if column.type == "long"]

    @cached_property
    def _places(self) -> Mapping[str, str]:
        """Names of the columns of an array by their places, which a DataFrame of it has as its labels."""
        if self.form == "table":
            return {}
        names = {str(place): column.name for place, column in enumerate(self.columns)}
        return {} if names.keys() & self.by_name.keys() else names

    def own_name(self, name: str) -> str:
        """The name of an input that a request names; a column of an array may be named by its place."""
        return self._places.get(name, name)

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

    def check_complete(self, given: Set[str]) -> None:
        """Raise `InvalidRequest` if a required column is missing."""
        if self.required <= given:
            return
        missing = [column.name for column in self.columns if column.required and column.name not in given]
        extra = sorted(str(name)[:200] for name in given if name not in self.by_name)
        hint = f"; unknown: {_listed(extra)}" if extra else ""
        raise InvalidRequest(f"missing input column{'s' if len(missing) > 1 else ''} {_listed(missing)}{hint}")


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def schema_signature(content: bytes, where: str) -> Signature:
    """Return the inputs of a model's schema.

    Raises
    ------
    InvalidModel
        The schema is damaged, or says why an endpoint cannot serve the model.
    """
    try:
        schema = decode_schema(content)
        if schema.problem:
            raise InvalidModel(f"an endpoint cannot serve this model: {schema.problem}", where=where)
        inputs = ModelInputs(schema)
        for spec, codec in zip(schema.columns, inputs.codecs, strict=True):
            if spec.type != codec.type:
                raise ValueError(f"column '{spec.name}' is of type {spec.type} and holds {codec.type}")
    except (ValueError, LookupError, TypeError, OSError, RecursionError) as error:
        hint = "register the model again"
        raise InvalidModel(f"the schema of the model is damaged: {error}", where=where, hint=hint) from error
    columns = tuple(
        InputColumn(
            spec.name,
            spec.type,
            spec.required,
            spec.name,
            spec.nullable,
            codec.wire if codec.wire.kind in "iuf" else None,
        )
        for spec, codec in zip(schema.columns, inputs.codecs, strict=True)
    )
    return Signature(columns, _form(schema), inputs)


def _form(schema: ModelSchema) -> Literal["table", "matrix", "vector"]:
    if schema.form in ONE_COLUMN:
        return "vector"
    return "table" if schema.is_named else "matrix"


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
    if spec.get("type") not in WIRE_TYPES or not isinstance(key, str | int):
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
