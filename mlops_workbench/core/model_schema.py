"""The schema of a model: what it was fitted on, beyond the seven types of MLflow's signature.

It travels with each version as ``mlops/schema.json`` in the model folder. Values between processes have a *wire type*,
one of MLflow's; the schema says how the model's own input is restored from them.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

#: Files in a model folder: the schema, and the golden set.
SCHEMA_FILE = "mlops/schema.json"
GOLDEN_FILE = "mlops/golden.parquet"
#: The rows that the model was tested on.
EVALUATION_FILE = "mlops/evaluation.parquet"
#: What new training data is checked against, as a schema of pandera.
QUALITY_FILE = "mlops/quality.json"
#: The tests of the model, as Python.
TESTS_FILE = "mlops/model_tests.py"

#: Types of values in requests, MLflow's.
WireType = Literal["boolean", "integer", "long", "float", "double", "string", "datetime"]
WIRE_TYPES: frozenset[str] = frozenset(get_args(WireType))
#: The same in the Open Inference Protocol.
DATATYPE: dict[WireType, str] = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}

#: What a model was fitted on: a DataFrame of pandas, polars or Arrow, an array of shape (rows, columns), a sparse
#: matrix, a Series, an array of shape (rows,), or a list of texts.
Form = Literal["frame", "polars", "arrow", "matrix", "sparse", "series", "vector", "list"]
#: Forms without names of columns.
UNNAMED: frozenset[Form] = frozenset({"matrix", "sparse", "vector", "list"})
#: Forms of one column that is passed without a table around it.
ONE_COLUMN: frozenset[Form] = frozenset({"series", "vector", "list"})

Bound = int | float | str


class InputSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input column.

    Attributes
    ----------
    name : str
        Name in requests; those of an array are ``x0``, ``x1`` and so on.
    type : str
        Wire type.
    dtype : str
        Type in the training data, as its library writes it.
    required : bool
        Whether the training data had no missing values, so that every request must have the column.
    nullable : bool or None
        Whether the model gives answers for missing values; None if that was not tried.
    restored : dict
        The type as JSON, from which it is made again; empty for a column of an array, whose `dtype` says all.
    holds : str
        Class of the values in a column of objects: ``str bool int float Decimal date datetime``.
    missing : str
        What stands for a missing value in a column of objects: ``none nan na``.
    zone : str
        Time zone.
    categories : list or None
        The categories in order, as wire values; for others than numbers, booleans and texts, as text.
    ordered : bool
        Whether the categories have an order.
    open : bool or None
        Whether the model gives answers for a text or category that it was not fitted on; None if not tried.
    low, high : number, str or None
        Range in the training data, of times in ISO 8601; None for columns of secrets and personal columns.
    values : list of str
        Texts in the training data if they were at most 50.
    """

    name: str
    type: WireType
    dtype: str
    required: bool = True
    nullable: bool | None = None
    restored: dict[str, Any] = {}
    holds: str = ""
    missing: str = ""
    zone: str = ""
    categories: list[str | int | float | bool] | None = None
    ordered: bool = False
    open: bool | None = None
    low: Bound | None = None
    high: Bound | None = None
    values: list[str] = []


class TargetSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target: its name (empty if it has none), and its type in the training data."""

    name: str
    dtype: str


class OutputSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A method that gives answers: its name, the type of an answer, and the answers per row (0 for one value)."""

    name: str
    dtype: str
    width: int = 0
    columns: list[str] = []


class ModelSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The schema of a model.

    Attributes
    ----------
    form : str
        What the model was fitted on.
    columns : list of InputSpec
        Inputs in the order of the training data.
    container : str
        Library and class of the training data, such as ``pandas.DataFrame``.
    labels : dict
        Labels of the columns, or the name of a Series, if they are not the names.
    targets : list of TargetSpec
        Targets; empty if they were not seen.
    classes : list
        Classes of a classifier, in the order of its probabilities.
    outputs : list of OutputSpec
        Methods that give answers.
    deterministic : bool
        Whether the model gave the same answers twice.
    problem : str
        Why endpoints cannot give the model what it was fitted on; empty if they can.
    untested : str
        Why the rows that it was tested on are not kept; empty if they are.
    version : int
        Version of this format.
    """

    form: Form
    columns: list[InputSpec]
    container: str = ""
    labels: dict[str, Any] = {}
    targets: list[TargetSpec] = []
    classes: list[str | int | float | bool] = []
    outputs: list[OutputSpec] = []
    deterministic: bool = True
    problem: str = ""
    untested: str = ""
    version: int = 1

    @property
    def is_named(self) -> bool:
        """Whether requests name the columns."""
        return self.form not in UNNAMED


def encode_schema(schema: ModelSchema) -> bytes:
    """Return a schema as JSON."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=1)


def decode_schema(content: bytes) -> ModelSchema:
    """Parse a schema.

    Raises
    ------
    ValueError
        The JSON is not a schema, or one of a later version.
    """
    try:
        schema = msgspec.json.decode(content, type=ModelSchema)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if schema.version > 1:
        raise ValueError(f"the schema has version {schema.version}; this workbench reads version 1")
    return schema
