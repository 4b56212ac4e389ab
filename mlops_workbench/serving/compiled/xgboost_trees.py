"""The trees of XGBoost, walked by scikit-learn's compiled code in one call.

XGBoost prepares each request for many rows and threads; for one row, that takes twenty times as long as the walk. The
comparison of 32-bit floats and the order of the sums are XGBoost's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlops_workbench.data.fitted.answers import PREDICT, PREDICT_PROBA
from mlops_workbench.serving.compiled.nouns import Array, Head, NotCompiled, Unusual
from mlops_workbench.serving.compiled.trees import MergedPredictors

_Link = Callable[[Array], Array]


def _sigmoid(margins: Array) -> Array:
    return np.float32(1) / (np.float32(1) + np.exp(-margins))


def _softmax(margins: Array) -> Array:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _same(margins: Array) -> Array:
    return margins


#: From margins to answers, and from the stored base score to a margin.
_OBJECTIVES: dict[str, tuple[_Link, _Link]] = {
    "binary:logistic": (_sigmoid, lambda score: np.log(score / (1 - score))),
    "reg:logistic": (_sigmoid, lambda score: np.log(score / (1 - score))),
    "multi:softprob": (_softmax, _same),
    "reg:squarederror": (_same, _same),
    "reg:absoluteerror": (_same, _same),
    "reg:pseudohubererror": (_same, _same),
    "count:poisson": (np.exp, np.log),
    "reg:gamma": (np.exp, np.log),
    "reg:tweedie": (np.exp, np.log),
}


def xgboost_head(model: Any) -> Head:
    """Return the program of a model of XGBoost's scikit-learn interface.

    Parameters
    ----------
    model : XGBModel
        The model.

    Raises
    ------
    NotCompiled
        It has categories, an own loss, several targets, linear or dropped trees, or another missing value than NaN.
    """
    booster = model.get_booster()
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    gradient = learner["gradient_booster"]
    if gradient["name"] != "gbtree" or objective not in _OBJECTIVES:
        raise NotCompiled(f"{type(model).__name__} with {gradient['name']} and {objective} has no compiled form")
    if model.missing == model.missing:
        raise NotCompiled(f"{type(model).__name__} takes {model.missing} for a missing value")
    parameters = learner["learner_model_param"]
    if int(parameters.get("num_target", 1)) > 1:
        raise NotCompiled("it has several targets")
    trees = gradient["model"]
    used = len(trees["trees"])
    if (best := booster.attributes().get("best_iteration")) is not None:
        used = trees["iteration_indptr"][int(best) + 1]
    return _Head(model, parameters, objective, trees["trees"][:used], trees["tree_info"][:used])


class _Head:
    def __init__(
        self, model: Any, parameters: Mapping[str, Any], objective: str, trees: Sequence[Any], groups: Sequence[int]
    ) -> None:
        self._link, inverse = _OBJECTIVES[objective]
        self._width = max(int(parameters["num_class"]), 1)
        self._features = int(parameters["num_feature"])
        score = np.atleast_1d(np.array(json.loads(parameters["base_score"]), dtype=np.float32))
        self._first = np.broadcast_to(inverse(score).astype(np.float32), (1, self._width))
        order = np.asarray(groups)
        if any((order[place :: self._width] != place).any() for place in range(self._width)):
            raise NotCompiled("it has trees of several kinds in one iteration")
        bits = np.zeros((0, 8), dtype=np.uint32)
        places = np.zeros(self._features, dtype=np.uint32)
        self._trees = MergedPredictors([_Tree(tree, bits) for tree in trees], bits, places)
        self._is_classifier = hasattr(model, "predict_proba")
        self._labels = np.asarray(model.classes_) if self._is_classifier else None

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        if block.shape[1] != self._features:
            raise Unusual
        with np.errstate(over="ignore"):
            narrow = block.astype(np.float32, copy=False)
        if np.isinf(narrow).any():
            raise Unusual
        leaves = self._trees.leaves(narrow).astype(np.float32)
        stages = leaves.reshape(-1, self._width, len(block)).transpose(0, 2, 1)
        first = np.broadcast_to(self._first, (1, len(block), self._width))
        margins = np.add.accumulate(np.concatenate((first, stages)), axis=0)[-1]
        answers = self._link(margins)
        if self._labels is None:
            return {PREDICT: answers[:, 0]}
        if self._width > 1:
            return {PREDICT: self._labels.take(answers.argmax(axis=1)), PREDICT_PROBA: answers}
        positive = answers[:, 0]
        labels = self._labels.take((positive > 0.5).astype(np.intp))
        return {PREDICT: labels, PREDICT_PROBA: np.stack([1 - positive, positive], axis=1)}


class _Tree:
    """A tree of XGBoost in the form of scikit-learn's histogram-based boosting."""

    def __init__(self, tree: Mapping[str, Any], bits: Array) -> None:
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

        if any(tree["split_type"]):
            raise NotCompiled("its trees split categories")
        left = np.asarray(tree["left_children"], dtype=np.int64)
        is_leaf = left == -1
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
        nodes = np.zeros(len(left), dtype=PREDICTOR_RECORD_DTYPE)
        nodes["is_leaf"] = is_leaf
        nodes["value"] = np.where(is_leaf, conditions, 0)
        # XGBoost goes left below a threshold, scikit-learn also at it.
        nodes["num_threshold"] = np.nextafter(conditions, np.float32(-np.inf))
        nodes["feature_idx"] = np.where(is_leaf, 0, tree["split_indices"])
        nodes["missing_go_to_left"] = tree["default_left"]
        nodes["left"] = np.where(is_leaf, 0, left)
        nodes["right"] = np.where(is_leaf, 0, np.asarray(tree["right_children"], dtype=np.int64))
        self.nodes = nodes
        self.raw_left_cat_bitsets = bits
