"""Transformers of single values, such as encoders, as tables from values to columns.

The table is made by the transformer itself, asked about every value that it knows, one that it does not know, and a
missing one. So what it does with them need not be written a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import impute, preprocessing
from sklearn.pipeline import Pipeline

from mlops_workbench.data.fitted.codecs import CategoryCodec
from mlops_workbench.data.fitted.numpy_codecs import NullableCodec, NumberCodec, TextCodec
from mlops_workbench.data.fitted.object_codec import ObjectCodec
from mlops_workbench.data.fitted.wire import Codec
from mlops_workbench.serving.compiled.nouns import Array, NotCompiled, Rows, Step, Unusual

_ENCODERS = (preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder, preprocessing.TargetEncoder)
_DISCRETE = (*_ENCODERS, impute.SimpleImputer)
#: Values of one column, and columns of a table.
_MOST_VALUES, _MOST_WIDTH = 100_000, 4096
#: Numbers of all tables.
_MOST_NUMBERS = 20_000_000

#: Stand for values that are not known.
_STRANGE = "\x00 a value that no model was fitted on"
_STRANGE_NUMBER = -8.988465674311579e307


def encoder_in(transformer: Any) -> Any:
    """Return the first encoder if all steps take single values, else None."""
    steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
    if any(type(step) not in _DISCRETE for step in steps):
        return None
    return next((step for step in steps if type(step) in _ENCODERS), None)


class Lookup:
    """A table for each column.

    Parameters
    ----------
    columns : sequence of (int, dict, ndarray, ndarray or slice)
        Place among the inputs; places in its table by value; the table of shape (values, width); and where its columns
        are in the result.
    base : ndarray of shape (width,)
        Result of columns that depend on nothing.
    """

    def __init__(self, columns: Sequence[tuple[int, dict[Any, int], Array, Any]], base: Array) -> None:
        self._columns = columns
        self._base = base

    def __call__(self, rows: Rows) -> Array:
        """See `Step`."""
        found = np.empty((rows.count, len(self._base)))
        found[:] = self._base
        for place, known, table, where in self._columns:
            values = rows.columns[place].tolist() if rows.block is None else rows.block[:, place].tolist()
            # A missing number is not equal to itself.
            codes = [known.get(value if value == value else None, -1) for value in values]
            if -1 in codes:
                default = known.get(_STRANGE, -1)
                if default < 0:
                    raise Unusual
                codes = [default if code < 0 else code for code in codes]
            found[:, where] = table[codes] if len(codes) > 1 else table[codes[0]]
        return found


def lookup(transformer: Any, encoder: Any, places: Sequence[int], inputs: Any, select: Any) -> Step:
    """Return the program of a fitted transformer of single values.

    Parameters
    ----------
    transformer, encoder : estimator
        The transformer, and the encoder in it.
    places : sequence of int
        Its inputs among those of the model.
    inputs : ModelInputs
        Inputs of the model.
    select : callable
        From the model's own input to that of the transformer.

    Raises
    ------
    NotCompiled
        It has too many values, or values of another kind.
    """
    categories = encoder.categories_
    if len(categories) != len(places):
        raise NotCompiled("an imputer drops columns before the encoder")
    universe = [_values(inputs.codecs[place], found) for place, found in zip(places, categories, strict=True)]
    if sum(map(len, universe)) > _MOST_VALUES:
        raise NotCompiled("its encoders know too many values")
    start = [values[0] if values else None for values in universe]
    everything = [(at, value) for at, values in enumerate(universe) for value in values]

    def asked(pairs: Sequence[tuple[int, Any]]) -> Array:
        wires = []
        for place, codec in enumerate(inputs.codecs):
            at = places.index(place) if place in places else -1
            if at < 0:
                wires.append(_filled(codec, [None] * len(pairs)))
            else:
                wires.append(_filled(codec, [value if one == at else start[at] for one, value in pairs]))
        found = transformer.transform(select(inputs.restore(wires)))
        if not isinstance(found, np.ndarray):
            found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
        return np.asarray(found, dtype=np.float64)

    try:
        results = asked(everything)
    except Exception as error:
        raise NotCompiled(f"{type(encoder).__name__} cannot be asked: {type(error).__name__}: {error}") from error
    if results.ndim != 2 or results.shape[1] > _MOST_WIDTH or results.size > _MOST_NUMBERS:
        raise NotCompiled("its encoders make too many columns")
    base = asked([(0, start[0])])[0]
    columns = []
    for at, place in enumerate(places):
        rows = [number for number, (one, _) in enumerate(everything) if one == at]
        known = {value: code for code, value in enumerate(universe[at])}
        tables = [results[rows]]
        for key, value in ((None, None), (_STRANGE, _strange(inputs.codecs[place]))):
            if key in known or (key is not None and value is None):
                continue
            try:
                tables.append(asked([(at, value)]))
            except (ValueError, TypeError):
                # The transformer refuses it, so the estimator itself must be asked.
                continue
            known[key] = sum(map(len, tables)) - 1
        if isinstance(inputs.codecs[place], CategoryCodec) and None in known:
            # What is no category is a missing value.
            known[_STRANGE] = known[None]
        table = np.concatenate(tables)
        changing = np.flatnonzero(~((table == base) | (np.isnan(table) & np.isnan(base))).all(axis=0))
        is_run = len(changing) and changing[-1] - changing[0] == len(changing) - 1
        where = slice(int(changing[0]), int(changing[-1]) + 1) if is_run else changing
        columns.append((place, known, np.ascontiguousarray(table[:, where]), where))
    return Lookup(columns, base)


def _values(codec: Codec, categories: Array) -> list[Any]:
    """Values of the wire that an encoder knows, but the missing one."""
    if isinstance(codec, CategoryCodec):
        if codec.type == "datetime":
            raise NotCompiled("a column has categories of times")
        return list(codec.labels)
    is_text = (isinstance(codec, TextCodec) and not isinstance(codec.dtype, np.dtype)) or (
        isinstance(codec, ObjectCodec) and codec.holds == "str"
    )
    if not is_text and not isinstance(codec, NumberCodec | NullableCodec):
        raise NotCompiled("an encoder takes a column of another type than texts, numbers and categories")
    values = [value for value in categories.tolist() if value is not None and value == value]
    kinds = (str,) if is_text else (int, float, bool)
    if not all(isinstance(value, kinds) for value in values):
        raise NotCompiled("an encoder knows values of several types")
    return values


def _strange(codec: Codec) -> Any:
    """A value that is not known; None if the wire has none."""
    if isinstance(codec, CategoryCodec):
        return None
    if codec.type == "string":
        return _STRANGE
    return _STRANGE_NUMBER if codec.wire.kind == "f" else np.iinfo(codec.wire).min if codec.wire.kind == "i" else None


def _filled(codec: Codec, values: list[Any]) -> Array:
    """Values as the wire has them."""
    if codec.type in ("string", "boolean"):
        if codec.type == "boolean" and None not in values:
            return np.array(values, dtype=bool)
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if codec.type == "datetime":
        return np.full(len(values), np.datetime64(0, "ns"))
    if None in values:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(values, dtype=codec.wire)
