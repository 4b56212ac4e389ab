"""The input of a model, restored from the values of a request, and its values as a request has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import UNNAMED, InputSpec, ModelSchema
from mlops_workbench.data.conversion import label_of, labels_of
from mlops_workbench.data.fitted.arrow_codec import ArrowCodec
from mlops_workbench.data.fitted.codecs import codec_of
from mlops_workbench.data.fitted.dtypes import dtype_of, field_of
from mlops_workbench.data.fitted.numpy_codecs import NumberCodec
from mlops_workbench.data.fitted.wire import Codec

Array = np.ndarray[Any, Any]


class ModelInputs:
    """Restores what a model was fitted on.

    Parameters
    ----------
    schema : ModelSchema
        Schema of the model.

    Raises
    ------
    ValueError
        The schema is damaged, or a column has a type that cannot be restored.
    """

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.codecs = codecs_of(schema)
        self._labels: Any = None
        plain = {codec.dtype: codec.wire for codec in self.codecs if isinstance(codec, NumberCodec)}
        is_plain = all(isinstance(codec, NumberCodec) for codec in self.codecs) and len(plain) == 1
        has_rows = schema.form in ("frame", "matrix", "sparse")
        self._matrix_type = next(iter(plain.values())) if is_plain and has_rows else None

    def takes_matrix(self, dtype: np.dtype[Any]) -> bool:
        """Whether `restore` needs no columns if it gets an array of this type."""
        # To NumPy, None is a name of float64.
        return self._matrix_type is not None and self._matrix_type == dtype

    def restore(self, columns: Sequence[Array], matrix: Array | None = None) -> Any:
        """Return the input of the model.

        Parameters
        ----------
        columns : sequence of ndarray of shape (rows,)
            Values as the wire has them, in the order of the schema.
        matrix : ndarray of shape (rows, columns), optional
            The same values as one array of a type that `takes_matrix`, instead of `columns`.

        Raises
        ------
        ValueError
            A value is not one of its column's type.
        """
        match self.schema.form:
            case "frame":
                return self._frame(columns, matrix)
            case "polars" | "arrow":
                return self._arrow(columns)
            case "matrix":
                return self._matrix(columns, matrix)
            case "sparse":
                return _sparse(self._matrix(columns, matrix), self.schema.container)
        values = self.codecs[0].decode(columns[0])
        if self.schema.form == "series":
            return self._series(values)
        return values.tolist() if self.schema.form == "list" else values

    def wire(self, data: Any) -> list[Array]:
        """Return the columns of data of the schema's form as the wire has them.

        Raises
        ------
        ValueError
            The wire has no form for a value.
        """
        return [codec.encode(part) for codec, part in zip(self.codecs, parts_of(data, self.schema.form), strict=True)]

    def _frame(self, columns: Sequence[Array], matrix: Array | None) -> Any:
        import pandas as pd

        if self._labels is None:
            names = [spec.name for spec in self.schema.columns]
            self._labels = labels_of(self.schema.labels) if self.schema.labels else pd.Index(names)
        if matrix is not None:
            return pd.DataFrame(self.codecs[0].decode(matrix), columns=self._labels, copy=False)
        decoded = [codec.decode(values) for codec, values in zip(self.codecs, columns, strict=True)]
        # Texts that are objects stay objects.
        parts = [pd.Series(part, dtype=object) if _are_objects(part) else part for part in decoded]
        found = pd.DataFrame(dict(enumerate(parts)), copy=False)
        found.columns = self._labels
        return found

    def _series(self, values: Any) -> Any:
        if self.schema.container == "polars.Series":
            import polars

            return polars.Series(label_of(self.schema.labels["name"]), polars.from_arrow(values))
        import pandas as pd

        name = label_of(self.schema.labels["name"]) if self.schema.labels else None
        return pd.Series(values, name=name, dtype=object if _are_objects(values) else None)

    def _arrow(self, columns: Sequence[Array]) -> Any:
        import pyarrow as pa

        parts = [codec.decode(values) for codec, values in zip(self.codecs, columns, strict=True)]
        fields = [field_of(spec.restored["field"]) for spec in self.schema.columns]
        table = pa.Table.from_arrays(parts, schema=pa.schema(fields))
        if self.schema.form == "arrow":
            return table
        import polars

        return polars.from_arrow(table)

    def _matrix(self, columns: Sequence[Array], matrix: Array | None) -> Array:
        codec = self.codecs[0]
        if matrix is not None:
            return codec.decode(matrix)  # type: ignore[no-any-return]
        parts = [codec.decode(values) for values in columns]
        return np.column_stack(parts) if len(parts) > 1 else parts[0].reshape(-1, 1)


def fields_of(data: Any, form: str) -> list[Any]:
    """Return the fields of Arrow of training data that is a table of Arrow or of polars; None for other columns."""
    if form in ("polars", "arrow"):
        return list((data.to_arrow() if form == "polars" else data).schema)
    if form == "series" and hasattr(data, "to_arrow"):
        return list(data.to_frame().to_arrow().schema)
    return [None] * (data.shape[1] if len(getattr(data, "shape", ())) == 2 else 1)


def codec_of_part(part: Any, field: Any) -> Codec:
    """Return the codec of a column of training data; `field` is its field of Arrow, if it has one.

    Raises
    ------
    ValueError
        Values of its type cannot be sent to an endpoint.
    """
    return ArrowCodec(field.type) if field is not None else codec_of(part.dtype, part)


def parts_of(data: Any, form: str) -> list[Any]:
    """Return the columns of training data of a form."""
    match form:
        case "frame":
            return [data.iloc[:, i] for i in range(data.shape[1])]
        case "polars":
            return list(data.to_arrow().columns)
        case "arrow":
            return list(data.columns)
        case "sparse":
            return list(data.toarray().T)
        case "matrix":
            return list(data.T)
        case "list":
            return [np.asarray(data, dtype=object)]
    return [data.to_arrow() if type(data).__module__.startswith("polars") else data]


def codecs_of(schema: ModelSchema) -> list[Codec]:
    """Return the codec of each column.

    Raises
    ------
    ValueError
        A column has a type that cannot be restored.
    """
    if not schema.columns:
        raise ValueError("the schema has no columns")
    try:
        if schema.form in UNNAMED:
            codec = codec_of(np.dtype(schema.columns[0].dtype), spec=schema.columns[0])
            return [codec] * len(schema.columns)
        return [_codec(spec, is_arrow=schema.form in ("arrow", "polars")) for spec in schema.columns]
    except (TypeError, KeyError, OSError) as error:
        raise ValueError(f"the schema is damaged: {error}") from error


def _codec(spec: InputSpec, *, is_arrow: bool) -> Codec:
    if is_arrow and "field" not in spec.restored:
        raise ValueError(f"column '{spec.name}' has no field of Arrow")
    if "field" in spec.restored:
        return ArrowCodec(field_of(spec.restored["field"]).type)
    return codec_of(dtype_of(spec.restored), spec=spec)


def _are_objects(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == object


def _sparse(dense: Array, container: str) -> Any:
    from scipy import sparse

    return getattr(sparse, container.rpartition(".")[2], sparse.csr_matrix)(dense)
