"""All trees of a forest as one tree, which scikit-learn's compiled code walks in one call.

A forest asks each of its trees in Python; for one row, that takes a hundred times as long as the walk. Here the trees
hang on one more tree that chooses among them by their number, an additional feature. Nodes, comparisons and the order
of the sums are those of scikit-learn, so that the answers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_workbench.serving.compiled.nouns import Array, NotCompiled, Unusual

#: Numbers that one walk copies at most.
_COPIED = 1 << 21
#: Nodes of all trees; the merged ones are a second copy in memory.
_MOST_NODES = 8_000_000
#: Rows from which on the copies take longer than a call for each tree.
MANY = 512


class Walk:
    """The merged nodes of several trees.

    Parameters
    ----------
    parts : sequence of ndarray
        Nodes of each tree, of one structured type.
    width : int
        Number of features; that of the tree's number comes after them.
    names : tuple of str
        Fields of a node: left child, right child, feature, threshold.
    is_leaf : callable
        From nodes to a mask of the leaves.
    """

    def __init__(self, parts: Sequence[Array], width: int, names: tuple[str, str, str, str], leaf: str) -> None:
        if sum(map(len, parts)) > _MOST_NODES:
            raise NotCompiled(f"its trees have more than {_MOST_NODES:,} nodes")
        left, right, feature, threshold = names
        router = len(parts) - 1
        self.starts = np.cumsum([router, *(len(part) for part in parts)])[:-1]
        self.nodes = np.zeros(int(self.starts[-1]) + len(parts[-1]), dtype=parts[0].dtype)
        for start, part in zip(self.starts.tolist(), parts, strict=True):
            moved = self.nodes[start : start + len(part)]
            moved[:] = part
            inner = part[leaf] == 0 if leaf != left else part[left] != -1
            for child in (left, right):
                # Not `+=` on a mask of a field, which would change a copy.
                moved[child] = np.where(inner, part[child] + part[child].dtype.type(start), part[child])
        self._next = 0
        self.depth = 1 + max(router, 1).bit_length()
        self._names = (left, right, feature, threshold)
        self._width = width
        if router:
            self._route(0, len(parts))

    def _route(self, low: int, high: int) -> int:
        """Nodes that lead to the trees from `low` to `high`; returns the first of them."""
        if high - low == 1:
            return int(self.starts[low])
        place, self._next = self._next, self._next + 1
        middle = (low + high) // 2
        left, right, feature, threshold = self._names
        children = self._route(low, middle), self._route(middle, high)
        for name, value in zip((left, right, feature, threshold), (*children, self._width, middle - 0.5), strict=True):
            self.nodes[name][place] = value
        return place


class Copies:
    """The rows once for each tree, with the tree's number as an additional feature."""

    def __init__(self, trees: int, width: int, dtype: Any) -> None:
        self.trees, self.width = trees, width
        self.dtype = np.dtype(dtype)
        self._numbers = np.arange(trees, dtype=self.dtype)[:, None]
        #: Rows of one walk.
        self.most = max(1, _COPIED // (trees * (width + 1)))

    def of(self, block: Array) -> Array:
        """Array of shape (trees * rows, width + 1), all rows of the first tree first."""
        copies = np.empty((self.trees, len(block), self.width + 1), dtype=self.dtype)
        copies[:, :, :-1] = block
        copies[:, :, -1] = self._numbers
        return copies.reshape(-1, self.width + 1)


class MergedTrees:
    """Decision trees of scikit-learn.

    Parameters
    ----------
    trees : sequence of Tree
        Fitted trees of one forest.
    """

    def __init__(self, trees: Sequence[Any]) -> None:
        from sklearn.tree._tree import Tree

        states = [tree.__getstate__() for tree in trees]
        width = int(trees[0].n_features)
        if any(tree.n_features != width for tree in trees):
            raise NotCompiled("its trees have different features")
        walk = Walk(
            [state["nodes"] for state in states],
            width,
            ("left_child", "right_child", "feature", "threshold"),
            "left_child",
        )
        nodes = walk.nodes
        values = np.zeros((len(nodes), *states[0]["values"].shape[1:]))
        for start, state in zip(walk.starts.tolist(), states, strict=True):
            values[start : start + len(state["values"])] = state["values"]
        self._tree = Tree(width + 1, trees[0].n_classes, trees[0].n_outputs)
        depth = walk.depth + max(int(state["max_depth"]) for state in states)
        # The tree copies its values, and only its nodes are asked here.
        none = np.zeros_like(values)
        self._tree.__setstate__({"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": none})
        self._values = values
        self._copies = Copies(len(trees), width, np.float32)
        self._trees = list(trees)

    def sums(self, block: Array) -> Array:
        """Sums of the leaves over the trees, of shape (rows, outputs, classes).

        Raises
        ------
        Unusual
            A number is too large for a tree.
        """
        if len(block) < MANY:
            return summed(self.leaves(block))
        narrow = _narrow(block)
        total = np.zeros((len(narrow), *self._values.shape[1:]))
        for tree in self._trees:
            total += tree.predict(narrow).reshape(total.shape)
        return total

    def leaves(self, block: Array) -> Array:
        """Values of the leaves, of shape (trees, rows, outputs, classes).

        Raises
        ------
        Unusual
            A number is too large for a tree.
        """
        narrow = _narrow(block)
        most, copies = self._copies.most, self._copies
        parts = []
        for first in range(0, len(narrow), most):
            rows = narrow[first : first + most]
            # Ten times as fast as an index.
            found = self._values.take(self._tree.apply(copies.of(rows)), axis=0)
            parts.append(found.reshape(copies.trees, len(rows), *found.shape[1:]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


class MergedPredictors:
    """Trees of histogram-based gradient boosting.

    Parameters
    ----------
    predictors : sequence of TreePredictor
        Fitted trees, those of an iteration beside each other.
    known, places : ndarray
        Known categories as bits, and the place of each feature among them.
    """

    def __init__(self, predictors: Sequence[Any], known: Array, places: Array) -> None:
        from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data

        self._predict = _predict_from_raw_data
        width = len(places)
        parts, bits, shift = [], [], 0
        for predictor in predictors:
            nodes = predictor.nodes.copy()
            nodes["bitset_idx"] += np.uint32(shift)
            parts.append(nodes)
            bits.append(predictor.raw_left_cat_bitsets)
            shift += len(predictor.raw_left_cat_bitsets)
        self._nodes = Walk(parts, width, ("left", "right", "feature_idx", "num_threshold"), "is_leaf").nodes
        self._bits = np.ascontiguousarray(np.concatenate(bits))
        self._known = known
        self._places = np.append(places, places.dtype.type(0))
        self._copies = Copies(len(predictors), width, np.float64)
        self._predictors = list(predictors)
        self._own_places = places

    def sums(self, block: Array, first: Array) -> Array:
        """Sums of the leaves over the iterations, of shape (rows, width).

        Parameters
        ----------
        block : ndarray of shape (rows, columns)
            Numbers.
        first : ndarray of shape (width,)
            What is added before the first iteration; each has as many trees as this has values.
        """
        width = len(first)
        if len(block) < MANY:
            stages = self.leaves(block).reshape(-1, width, len(block)).transpose(0, 2, 1)
            return summed(np.concatenate((np.broadcast_to(first, (1, len(block), width)), stages)))
        # The trees read the values of a row one after the other.
        rows = np.ascontiguousarray(block, dtype=np.float64)
        total = np.repeat(first[:, None], len(rows), axis=1)
        for number, one in enumerate(self._predictors):
            total[number % width] += one.predict(rows, self._known, self._own_places, 1)
        return np.ascontiguousarray(total.T)

    def leaves(self, block: Array) -> Array:
        """Values of the leaves, of shape (trees, rows)."""
        parts = []
        for first in range(0, len(block), self._copies.most):
            rows = block[first : first + self._copies.most]
            copies = self._copies.of(rows)
            out = np.empty(len(copies))
            self._predict(self._nodes, copies, self._bits, self._known, self._places, 1, out)
            parts.append(out.reshape(self._copies.trees, len(rows)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _narrow(block: Array) -> Array:
    """The numbers as the trees of scikit-learn take them; raises `Unusual` if one is too large."""
    with np.errstate(over="ignore"):
        narrow = block.astype(np.float32, order="C", copy=False)
    if np.isinf(narrow).any():
        raise Unusual
    return narrow


def summed(values: Array) -> Array:
    """Sum over the first axis, one after the other as scikit-learn adds them; NumPy adds in another order."""
    if values[0].size > 1 and values.flags.c_contiguous:
        # Over an outer axis, NumPy adds whole rows in their order.
        return np.asarray(np.add.reduce(values, axis=0))
    return np.asarray(np.add.accumulate(values, axis=0)[-1])
