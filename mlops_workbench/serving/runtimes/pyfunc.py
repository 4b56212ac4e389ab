"""Models of any flavor, loaded and asked through ``mlflow.pyfunc``.

Loading such a model may run code that is part of it; the settings must allow that. Only this module of the endpoints
imports MLflow, and only for such a model: the import takes longer than the start of an endpoint.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlops_workbench.core.errors import first_line
from mlops_workbench.serving.errors import InvalidModel, PredictionFailed
from mlops_workbench.serving.rows.answer_table import AnswerTable
from mlops_workbench.serving.rows.values import EXACT, Array

#: Codes of MLflow's errors for values that the model does not take.
_REJECTIONS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
_SERVED = "tables, arrays of one or two dimensions, and dicts of arrays, with a row for each row that is asked"


class PyfuncModel:
    """A model behind ``mlflow.pyfunc``, with answers as arrays.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
        The loaded model.

    Attributes
    ----------
    params : frozenset of str
        Names of the parameters of a prediction.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        declared = model.metadata.get_params_schema()
        self.params = frozenset(one.name for one in declared.params) if declared is not None else frozenset()

    def predict(self, data: Any, params: Mapping[str, object] | None = None) -> Array:
        """The values of :meth:`answer`."""
        return self.answer(data, params)[1]

    def answer(self, data: Any, params: Mapping[str, object] | None = None) -> tuple[AnswerTable | None, Array]:
        """Answers to a table or an array.

        Parameters
        ----------
        data : DataFrame or ndarray
            Rows.
        params : mapping, optional
            Parameters of this prediction; those that are not declared are left out.

        Returns
        -------
        table : AnswerTable or None
            Names in this answer, which may depend on the parameters; None for plain values.
        values : ndarray of shape (rows,) or (rows, width)
            The answers.

        Raises
        ------
        ValueError
            MLflow refuses the values or the parameters.
        PredictionFailed
            The answer is nothing of which each row of the request has a row.
        """
        from mlflow.exceptions import MlflowException

        given = {name: value for name, value in (params or {}).items() if name in self.params}
        try:
            answer = self._model.predict(data, params=given or None)
        except MlflowException as error:
            if error.error_code in _REJECTIONS:
                raise ValueError(error.message) from error
            raise
        return _array(answer)


def load_pyfunc(folder: Path) -> PyfuncModel:
    """Load the model of a verified folder.

    Raises
    ------
    InvalidModel
        It cannot be loaded.
    """
    # MLflow would start a thread that sends them.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.pyfunc import load_model

        return PyfuncModel(load_model(str(folder)))
    except Exception as error:  # foreign code: any failure means that it cannot be served
        raise InvalidModel(
            f"MLflow cannot load the model: {type(error).__name__}: {first_line(error)}",
            where=str(folder),
            hint="install what requirements.txt beside the model names in the environment of the endpoint",
        ) from error


def _array(answer: Any) -> tuple[AnswerTable | None, Array]:
    """How MLflow would write the answer, unless it is plain values, and the values."""
    if hasattr(answer, "to_pandas"):
        # A table of Arrow or polars.
        answer = answer.to_pandas()
    if isinstance(answer, Mapping):
        return _of_columns({str(name): np.asarray(values) for name, values in answer.items()})
    if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
        values = _plain(answer)
        names = tuple(map(str, answer.columns))
        dtypes = tuple(map(_type_of, answer.dtypes))
        # Networks answer with columns that are only numbered.
        is_named = any(isinstance(name, str) for name in answer.columns)
        table = AnswerTable(names, (0,) * len(names), dtypes, is_named=is_named)
        return table, values[:, 0] if values.shape[1] == 1 else values
    if hasattr(answer, "to_numpy"):
        # MLflow makes a table of it.
        name = "0" if answer.name is None else str(answer.name)
        return AnswerTable((name,), (0,), (_type_of(answer.dtype),), is_named=answer.name is not None), _plain(answer)
    values = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    if values.ndim not in (1, 2) or (len(values) and isinstance(values.flat[0], Mapping)):
        shape = " x ".join(map(str, values.shape)) or "one value"
        raise PredictionFailed(f"the model answers with {shape} of {values.dtype}; endpoints serve {_SERVED}")
    return None, values


def _of_columns(columns: Mapping[str, Array]) -> tuple[AnswerTable, Array]:
    """The same of arrays by their names."""
    rows = {len(values) if values.ndim in (1, 2) else -1 for values in columns.values()}
    if len(rows) != 1 or -1 in rows:
        raise PredictionFailed(f"the model answers with a dict; endpoints serve {_SERVED}")
    widths = tuple(values.shape[1] if values.ndim == 2 else 0 for values in columns.values())
    # Values of several types keep theirs.
    kinds = {values.dtype for values in columns.values()}
    parts = [values.reshape(len(values), -1).astype(object if len(kinds) > 1 else None) for values in columns.values()]
    values = np.concatenate(parts, axis=1)
    dtypes = tuple(_type_of(values.dtype) for values in columns.values())
    table = AnswerTable(tuple(columns), widths, dtypes, is_dict=True)
    return table, values[:, 0] if values.shape[1] == 1 else values


def _type_of(dtype: Any) -> np.dtype[Any]:
    """The type of a column that does not depend on its values: a number that may be missing is a float."""
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, np.dtype):
        return dtype if kind in "biuf" else np.dtype(object)
    return np.dtype(np.float64 if kind in "iuf" else object)


def _plain(table: Any) -> Array:
    values = np.asarray(table.to_numpy())
    if values.dtype.kind == "f" and (np.abs(values) > EXACT).any():
        # Integers beside floats, of which some are too large for one.
        values = np.asarray(table.to_numpy(dtype=object))
    if values.dtype.kind not in "OmM":
        return values
    import pandas as pd

    # Missing values of each kind become None, which JSON has, and times the texts that MLflow makes of them.
    shown = np.frompyfunc(lambda value: value.isoformat() if hasattr(value, "isoformat") else value, 1, 1)
    if values.dtype.kind != "O":
        values = np.array(pd.array(values.ravel()).astype(object), dtype=object).reshape(values.shape)
    texts = np.asarray(shown(values), dtype=object)
    texts[np.asarray(pd.isna(values))] = None
    return texts
