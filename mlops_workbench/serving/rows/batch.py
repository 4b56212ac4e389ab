"""Rows of one request of either protocol, typed by the signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.rows.values import (
    EXACT,
    MISSING,
    Array,
    column_array,
    floats,
    integral,
    missing_array,
    objects,
)

InputForm = Literal["frame", "matrix", "vector"]


class Batch:
    """Typed rows.

    Parameters
    ----------
    signature : Signature
        Inputs of the model.
    rows : int
        Number of rows, at least one.
    columns : mapping of str to ndarray of shape (rows,)
        Every column of the signature, in its order.
    matrix : ndarray of shape (rows, columns), optional
        The same values as one array, if they were sent as one.
    """

    def __init__(
        self, signature: Signature, rows: int, columns: Mapping[str, Array] | None, matrix: Array | None = None
    ) -> None:
        self.signature = signature
        self.rows = rows
        self._columns = columns
        self._matrix = matrix

    @classmethod
    def of_columns(cls, signature: Signature, given: Mapping[str, Array]) -> Batch:
        """Batch from typed columns; missing optional ones are filled, others are an error."""
        signature.check_complete(dict(given))
        lengths = {name: len(values) for name, values in given.items() if name in signature.by_name}
        rows = next(iter(lengths.values()), 0)
        for name, length in lengths.items():
            if length != rows:
                first = next(iter(lengths))
                raise InvalidRequest(f"column '{name}' has {length} rows, but '{first}' has {rows}")
        _some_rows(rows)
        columns = {
            column.name: given[column.name] if column.name in given else missing_array(column, rows)
            for column in signature.columns
        }
        return cls(signature, rows, columns)

    @classmethod
    def of_values(cls, signature: Signature, given: Mapping[str, Sequence[object]]) -> Batch:
        """Batch from JSON values per column; columns that are not in the signature are ignored."""
        signature.check_complete(dict(given))
        typed = {
            column.name: column_array(column, given[column.name])
            for column in signature.columns
            if column.name in given
        }
        return cls.of_columns(signature, typed)

    @classmethod
    def of_rows(cls, signature: Signature, values: Sequence[object], shape: tuple[int, int]) -> Batch:
        """Batch from JSON values in row-major order, the columns in the order of the signature.

        Raises
        ------
        InvalidRequest
            The number of columns is not the signature's, or a value is of the wrong type.
        """
        rows, width = shape
        if width != len(signature.columns):
            raise InvalidRequest(f"expected {len(signature.columns)} columns, got shape [{rows}, {width}]")
        _some_rows(rows)
        kinds = set(map(type, values))
        if kinds <= {int, float, type(None)} and not any(c.type in ("string", "datetime") for c in signature.columns):
            try:
                matrix = np.array(values, dtype=np.float64).reshape(shape)
            except OverflowError:
                raise InvalidRequest("a number is too large") from None
            if not np.isinf(matrix).any() and not _loses(signature, matrix):
                return cls._of_matrix(signature, matrix)
        # Not only plain numbers: convert by columns, with an error for the wrong value.
        return cls.of_values(signature, {c.name: values[i::width] for i, c in enumerate(signature.columns)})

    @classmethod
    def _of_matrix(cls, signature: Signature, matrix: Array) -> Batch:
        types = {column.type for column in signature.columns}
        for column in signature.columns:
            if column.nullable is False and column.type in ("float", "double"):
                _check_present(signature, matrix)
                break
        if types == {"double"}:
            return cls(signature, len(matrix), None, matrix)
        columns = {c.name: _from_floats(c, matrix[:, i]) for i, c in enumerate(signature.columns)}
        if types == {"float"}:
            return cls(signature, len(matrix), columns, matrix.astype(np.float32))
        return cls(signature, len(matrix), columns)

    @property
    def is_matrix(self) -> bool:
        """Whether the rows are one array, of which the columns have not been made."""
        return self._columns is None

    @property
    def arrays(self) -> list[Array]:
        """The columns; if `is_matrix`, the one array of shape (rows, columns)."""
        if self._columns is None:
            assert self._matrix is not None
            return [self._matrix]
        return list(self._columns.values())

    @property
    def columns(self) -> Mapping[str, Array]:
        """Columns by name, in the order of the signature."""
        if self._columns is None:
            assert self._matrix is not None
            self._columns = {c.name: self._matrix[:, i] for i, c in enumerate(self.signature.columns)}
        return self._columns

    def model_input(self, form: InputForm, none_columns: Collection[str | int] = ()) -> Any:
        """Input of the estimator: as it was fitted if there is a schema, else a DataFrame or an array.

        Parameters
        ----------
        form : str
            What the estimator takes, if there is no schema.
        none_columns : collection of str or int
            Text columns of a DataFrame in which None stands for a missing value, as it was when the estimator was
            fitted; in all others NaN does.
        """
        inputs = self.signature.inputs
        if inputs is not None:
            if self._matrix is not None and inputs.takes_matrix(self._matrix.dtype):
                return inputs.restore((), self._matrix)
            return inputs.restore(list(self.columns.values()))
        if form == "frame":
            return self._frame(none_columns)
        if form == "vector":
            return next(iter(self.columns.values()))
        if self._matrix is not None:
            return self._matrix
        arrays = list(self.columns.values())
        return np.column_stack(arrays) if len(arrays) > 1 else arrays[0].reshape(-1, 1)

    def _frame(self, none_columns: Collection[str | int]) -> Any:
        # Imported here, since a model of arrays does not need pandas.
        import pandas as pd

        keys = [column.key for column in self.signature.columns]
        if self._matrix is not None:
            return pd.DataFrame(self._matrix, columns=keys, copy=False)
        # Text has the type that pandas uses for text, as in the frame that the model was fitted on.
        own_text = pd.Series(["a"]).dtype != object
        data: dict[str | int, Any] = {}
        for column, values in zip(self.signature.columns, self.columns.values(), strict=True):
            if column.type != "string":
                data[column.key] = values
            elif column.key in none_columns:
                data[column.key] = pd.Series(values, dtype=object)
            elif own_text:
                data[column.key] = pd.array(values, dtype="str")
            else:
                data[column.key] = objects([np.nan if value is None else value for value in values])
        return pd.DataFrame(data, copy=False)


def _from_floats(column: InputColumn, numbers: Array) -> Array:
    if column.type in ("float", "double"):
        return floats(column, numbers)
    if column.type == "boolean":
        return column_array(column, [_boolean(value) for value in numbers.tolist()])
    return integral(column, numbers)


def _boolean(value: float) -> bool | float | None:
    if value in (0.0, 1.0):
        return bool(value)
    return None if value != value else value


def _loses(signature: Signature, matrix: Array) -> bool:
    """Whether integers are too large to be exact as floats."""
    whole = [i for i, column in enumerate(signature.columns) if column.type == "long"]
    return bool(whole) and bool((np.abs(matrix[:, whole]) > EXACT).any())


def _check_present(signature: Signature, matrix: Array) -> None:
    absent = np.isnan(matrix)
    for position in np.flatnonzero(absent.any(axis=0)).tolist():
        column = signature.columns[position]
        if column.nullable is False:
            row = int(absent[:, position].argmax())
            raise InvalidRequest(f"column '{column.name}', row {row}: {MISSING}")


def _some_rows(rows: int) -> None:
    if rows < 1:
        raise InvalidRequest("the request has no rows")
