"""Types that a skops model may hold without anyone having vouched for them.

skops refuses types that it does not know. The list in a model's own MLmodel file is written by whoever
wrote the model, so it is no boundary; this list, and ``serving.trusted_types``, are.
"""

from __future__ import annotations

#: Qualified names. All are containers of numbers or pure functions of scikit-learn, NumPy and SciPy:
#: none of them runs code that comes from the file.
TRUSTED_TYPES: frozenset[str] = frozenset(
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.compose._column_transformer._RemainderColsList",
        "numpy.dtype",
    }
)
