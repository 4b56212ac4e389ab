"""Transformers of numbers: from an array to an array."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import decomposition, feature_selection, impute, preprocessing

from mlops_workbench.serving.compiled.heads import refuse_missing
from mlops_workbench.serving.compiled.nouns import Array, NotCompiled

#: From an array of shape (rows, columns) to one of shape (rows, width); it does not change its argument.
Change = Callable[[Array], Array]

_SELECTORS = (
    *(feature_selection.VarianceThreshold, feature_selection.SelectKBest, feature_selection.SelectPercentile),
    *(feature_selection.SelectFpr, feature_selection.SelectFdr, feature_selection.SelectFwe),
    *(feature_selection.SelectFromModel, feature_selection.RFE, feature_selection.RFECV),
)


def change_of(transformer: Any) -> Change:
    """Return the program of a fitted transformer of numbers.

    Raises
    ------
    NotCompiled
        It is not one of scikit-learn.
    """
    makers: dict[type, Callable[[Any], Change]] = {
        preprocessing.StandardScaler: lambda one: _scaled(
            one.mean_ if one.with_mean else None, one.scale_ if one.with_std else None
        ),
        preprocessing.RobustScaler: lambda one: _scaled(
            one.center_ if one.with_centering else None, one.scale_ if one.with_scaling else None
        ),
        preprocessing.MaxAbsScaler: _largest,
        preprocessing.MinMaxScaler: _ranged,
        impute.SimpleImputer: _imputed,
        decomposition.PCA: _components,
        **dict.fromkeys(_SELECTORS, _selected),
    }
    kind = type(transformer)
    if kind in makers:
        return makers[kind](transformer)
    if kind is preprocessing.FunctionTransformer:
        return _function(transformer)
    if not kind.__module__.startswith("sklearn.") or not hasattr(transformer, "transform"):
        raise NotCompiled(f"{kind.__name__} is not a transformer of scikit-learn")
    return _own(transformer)


def _scaled(center: Array | None, scale: Array | None) -> Change:
    centers: dict[Any, Array | None] = {}
    scales: dict[Any, Array | None] = {}
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        centers[dtype] = None if center is None else center.astype(dtype)
        scales[dtype] = None if scale is None else scale.astype(dtype)

    def change(block: Array) -> Array:
        middle, width = centers[block.dtype], scales[block.dtype]
        if middle is not None:
            moved = block - middle
            if width is not None:
                moved /= width
            return moved
        return block if width is None else block / width

    return change


def _largest(scaler: Any) -> Change:
    scale, clip = scaler.scale_, bool(getattr(scaler, "clip", False))

    def change(block: Array) -> Array:
        found: Array = (block / scale).astype(block.dtype, copy=False)
        return np.clip(found, -1.0, 1.0) if clip else found

    return change


def _ranged(scaler: Any) -> Change:
    scale, low, clip = scaler.scale_, scaler.min_, scaler.clip
    first, last = scaler.feature_range

    def change(block: Array) -> Array:
        found = block.copy()
        found *= scale
        found += low
        return np.clip(found, first, last) if clip else found

    return change


def _imputed(imputer: Any) -> Change:
    marker = imputer.missing_values
    statistics = np.asarray(imputer.statistics_)
    if statistics.dtype.kind not in "fiub" or not isinstance(marker, float | int):
        raise NotCompiled("SimpleImputer fills other values than numbers")
    statistics = statistics.astype(np.float64)
    kept = np.ones(len(statistics), dtype=bool) if imputer.keep_empty_features else ~np.isnan(statistics)
    values = statistics[kept]
    places = None if kept.all() else np.flatnonzero(kept)
    is_nan = marker != marker
    indicator = imputer.indicator_.features_ if imputer.add_indicator else None
    if imputer.add_indicator and imputer.indicator_.features == "all":
        raise NotCompiled("SimpleImputer with an indicator of all columns")

    def change(block: Array) -> Array:
        mask = np.isnan(block) if is_nan else block == marker
        found = block if places is None else block[:, places]
        if mask.any():
            found = np.where(mask if places is None else mask[:, places], values, found).astype(block.dtype, copy=False)
        if indicator is None:
            return found
        return np.concatenate((found, mask[:, indicator]), axis=1, dtype=block.dtype)

    return change


def _components(pca: Any) -> Change:
    # PCA itself subtracts the mean in another order for other options.
    components, mean = pca.components_.T, pca.mean_
    scale = np.sqrt(pca.explained_variance_) if pca.whiten else None
    if scale is not None:
        scale = np.maximum(scale, np.finfo(scale.dtype).eps)
    shift = mean.reshape(1, -1) @ components

    def change(block: Array) -> Array:
        refuse_missing(block)
        found: Array = block @ components
        found -= shift
        return found if scale is None else found / scale

    return change


def _selected(selector: Any) -> Change:
    places = selector.get_support(indices=True)
    return lambda block: block[:, places]


def _function(transformer: Any) -> Change:
    function = transformer.func
    if function is None:
        return lambda block: block
    # Of a user's function it is not known whether it needs names.
    if not isinstance(function, np.ufunc) or transformer.kw_args:
        raise NotCompiled("FunctionTransformer calls a function of its own")

    def change(block: Array) -> Array:
        found: Array = function(block)
        return found

    return change


def _own(transformer: Any) -> Change:
    # Shallow: what is fitted is not changed. Without names, it takes arrays.
    unnamed = copy.copy(transformer)
    for name in ("feature_names_in_", "_sklearn_output_config"):
        unnamed.__dict__.pop(name, None)

    def change(block: Array) -> Array:
        found = unnamed.transform(block)
        return found if isinstance(found, np.ndarray) else np.asarray(found.toarray())

    return change
