"""Bounds checks of decision trees.

scikit-learn's compiled code follows the indices of a tree without checking that they are inside its tables. skops
checks types and not content, so a forged file could make the process read foreign memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from mlops_workbench.serving.errors import InvalidModel


def check_trees(parts: Iterable[object], where: str) -> None:
    """Check every tree of an estimator.

    Parameters
    ----------
    parts : iterable of object
        The estimator and all that is nested in it.
    where : str
        For the error message.

    Raises
    ------
    InvalidModel
        A child is outside its tree or before its parent, or a node uses a feature that does not exist.
    """
    for part in parts:
        tree = getattr(part, "tree_", None)
        if isinstance(tree, Tree):
            leaf = tree.children_left == -1
            _check(tree.children_left, tree.children_right, leaf, tree.feature, _width(part), where)
            if tree.value.shape[0] != tree.node_count:
                raise _forged(where)
        for predictor in _predictors(part):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            _check(nodes["left"], nodes["right"], leaf, nodes["feature_idx"], _width(part), where)
            categorical = nodes["is_categorical"].astype(bool) & ~leaf
            if (nodes["bitset_idx"][categorical] >= len(predictor.raw_left_cat_bitsets)).any():
                raise _forged(where)


def _predictors(part: object) -> Iterable[TreePredictor]:
    stages = getattr(part, "_predictors", None)
    for stage in stages if isinstance(stages, list) else ():
        yield from (one for one in stage if isinstance(one, TreePredictor))


def _width(part: object) -> int:
    return int(getattr(part, "n_features_in_", 0))


def _check(left: Any, right: Any, leaf: Any, feature: Any, features: int, where: str) -> None:
    size = len(leaf)
    inner = ~leaf
    own = np.arange(size)[inner]
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        # Children come after their parents, which also excludes cycles.
        if ((child <= own) | (child >= size)).any():
            raise _forged(where)
    asked = feature[inner].astype(np.int64)
    if size == 0 or ((asked < 0) | (asked >= features)).any():
        raise _forged(where)


def _forged(where: str) -> InvalidModel:
    return InvalidModel(
        "a decision tree of the model has an index that is out of bounds",
        where=where,
        hint="the file is damaged or forged; register the model again",
    )
