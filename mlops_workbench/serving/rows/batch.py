"""Rows of one request of either protocol, typed by the signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np

from mlops_workbench.serving.errors import BodyTooLarge, InvalidRequest
from mlops_workbench.serving.rows.arrays import typed_array
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.rows.values import (
    EXACT,
    MISSING,
    Array,
    column_array,
    floats,
    has_infinity,
    integral,
    missing_array,
    objects,
)

InputForm = Literal["frame", "matrix", "vector"]

#: Rows of one request.
MOST_ROWS = 1_000_000
#: Types of JSON numbers and of null, and columns that are not numbers.
_PLAIN = frozenset({int, float, type(None)})
_NO_NUMBERS = frozenset({"string", "datetime"})


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
        #: Parameters of the request, for a model that takes any.
        self.params: Mapping[str, object] = {}

    @classmethod
    def of_columns(cls, signature: Signature, given: Mapping[str, Array]) -> Batch:
        """Batch from typed columns; missing optional ones are filled, others are an error."""
        signature.check_complete(given.keys())
        columns: dict[str, Array] = {}
        rows, first = 0, ""
        for column in signature.columns:
            name = column.name
            values = given.get(name)
            if values is None:
                continue
            if not columns:
                rows, first = len(values), name
            elif len(values) != rows:
                raise InvalidRequest(f"column '{name}' has {len(values)} rows, but '{first}' has {rows}")
            columns[name] = values
        check_rows(rows)
        if len(columns) < len(signature.columns):
            columns = {
                column.name: columns[column.name] if column.name in columns else missing_array(column, rows)
                for column in signature.columns
            }
        return cls(signature, rows, columns)

    @classmethod
    def of_values(cls, signature: Signature, given: Mapping[str, Sequence[object]]) -> Batch:
        """Batch from JSON values per column; columns that are not in the signature are ignored."""
        signature.check_complete(given.keys())
        typed = {
            column.name: column_array(column, given[column.name])
            for column in signature.columns
            if column.name in given
        }
        return cls.of_columns(signature, typed)

    @classmethod
    def of_rows(
        cls,
        signature: Signature,
        values: Sequence[object],
        shape: tuple[int, int],
        kinds: Set[type] | None = None,
    ) -> Batch:
        """Batch from JSON values in row-major order, the columns in the order of the signature.

        Raises
        ------
        InvalidRequest
            The number of columns is not the signature's, or a value is of the wrong type.
        """
        rows, width = _checked(signature, shape)
        if kinds is None:
            kinds = set(map(type, values))
        if kinds <= _PLAIN and not signature.types & _NO_NUMBERS:
            try:
                matrix = np.array(values, dtype=np.float64).reshape(rows, width)
            except OverflowError:
                raise InvalidRequest("a number is too large") from None
            if not has_infinity(values, matrix) and not _loses(signature, matrix):
                return cls._of_matrix(signature, matrix)
        # Not only plain numbers: convert by columns, with an error for the wrong value.
        return cls.of_values(signature, {c.name: values[i::width] for i, c in enumerate(signature.columns)})

    @classmethod
    def of_same_columns(cls, signature: Signature, columns: Sequence[Sequence[object] | Array]) -> Batch | None:
        """Batch from JSON numbers or arrays of numbers per column, all of them floats of 64 bits.

        None if that cannot be done at once: the columns are of other types, their lengths differ, or a number is
        infinite.
        """
        if not signature.is_double:
            return None
        try:
            # The order in memory is that of a DataFrame's columns, by which sums are the same to the last digit.
            matrix = np.array(columns, dtype=np.float64).T
        except (ValueError, OverflowError):
            return None
        if matrix.ndim != 2 or np.isinf(matrix).any():
            return None
        check_rows(len(matrix))
        return cls._of_matrix(signature, matrix)

    @classmethod
    def of_array(cls, signature: Signature, array: Array) -> Batch:
        """Batch from an array of numbers or booleans of shape (rows, columns), in the order of the signature.

        Raises
        ------
        InvalidRequest
            The number of columns is not the signature's, or a value is not one of its column.
        """
        _checked(signature, array.shape)
        if array.dtype.kind == "f" and not np.isinf(array).any() and not signature.types & _NO_NUMBERS:
            matrix = array.astype(np.float64, copy=False)
            if not _loses(signature, matrix):
                return cls._of_matrix(signature, matrix)
        columns = {}
        for at, column in enumerate(signature.columns):
            values = array[:, at]
            if column.type == "boolean" and values.dtype.kind in "iuf":
                columns[column.name] = _from_floats(column, values.astype(np.float64))
            else:
                columns[column.name] = typed_array(column, values)
        return cls.of_columns(signature, columns)

    @classmethod
    def _of_matrix(cls, signature: Signature, matrix: Array) -> Batch:
        if signature.are_floats_present:
            _check_present(signature, matrix)
        if signature.is_double:
            return cls(signature, len(matrix), None, matrix)
        columns = {c.name: _from_floats(c, matrix[:, i]) for i, c in enumerate(signature.columns)}
        if signature.types == {"float"}:
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
    wide = signature.wide
    return bool(wide) and bool((np.abs(matrix[:, wide]) > EXACT).any())


def _check_present(signature: Signature, matrix: Array) -> None:
    absent = np.isnan(matrix)
    for position in np.flatnonzero(absent.any(axis=0)).tolist():
        column = signature.columns[position]
        if column.nullable is False:
            row = int(absent[:, position].argmax())
            raise InvalidRequest(f"column '{column.name}', row {row}: {MISSING}")


def _checked(signature: Signature, shape: tuple[int, ...]) -> tuple[int, int]:
    rows, width = shape
    if width != len(signature.columns):
        raise InvalidRequest(f"expected {len(signature.columns)} columns, got shape [{rows}, {width}]")
    check_rows(rows)
    return rows, width


def check_rows(rows: int) -> None:
    """Raise an error unless a request has at least one row, and at most `MOST_ROWS`."""
    if rows < 1:
        raise InvalidRequest("the request has no rows")
    if rows > MOST_ROWS:
        raise BodyTooLarge(f"the request has {rows} rows; at most {MOST_ROWS} are taken at a time")
