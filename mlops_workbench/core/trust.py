"""The built-in list of types that a skops model may contain.

skops refuses to load types that it does not trust. The list in a model's own MLmodel file gives no protection, since
the author of the model writes it; only this list and the setting ``serving.trusted_types`` count.

The list was derived by saving every estimator of scikit-learn 1.9 and every scorer, splitter, kernel, distance,
loss and selection function, and calling `skops.io.get_untrusted_types`. A type is listed if loading it only sets
attributes (numbers, text, other trusted types) and runs no code chosen by the file; a function is listed if it
computes on arrays and uses no files, processes or `eval`.

Left out on purpose:

* ``scipy.stats`` distributions (part of a fitted ``RandomizedSearchCV``): their ``__setstate__`` passes a
  text from the file to ``exec``. Save ``search.best_estimator_`` instead.
* ``PyFuncDistance``: calls a Python function chosen by the file.
* functions and classes of users: ``mlops trust`` adds them to ``serving.trusted_types``.

Trees and neighbour tables (``Tree``, ``TreePredictor``, ``KDTree``, ``BallTree``) contain indices that compiled code
uses unchecked; skops does not trust them because a forged table can crash the process. Serving checks the digests of
the model's files first, and the bounds of trees before the first prediction.

Boosted trees of XGBoost, LightGBM and CatBoost are in a skops file as bytes of the library's own format, which compiled
code reads. Serving loads them in another process first, see :mod:`mlops_workbench.serving.runtimes.trial`.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from mlops_workbench.core.boosters import CLASSES


def _named(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


_TABLES = {
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.cluster._bisect_k_means._BisectingTree",
}

_DISTANCES = {
    f"{name}Distance{bits}"
    for bits in ("", "32", "64")
    for name in _named(
        "sklearn.metrics._dist_metrics",
        "BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Mahalanobis Manhattan Minkowski"
        " RogersTanimoto RussellRao SEuclidean SokalMichener SokalSneath",
    )
}

_PARTS_OF_ESTIMATORS = {
    "functools.partial",  # harmless by itself: its function is checked too
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.utils._bunch.Bunch",
    *_named("numpy", "dtype"),
    *_named("scipy.sparse._csr", "csr_matrix csr_array"),
    *_named("scipy.sparse._csc", "csc_matrix csc_array"),
    *_named("sklearn._loss.loss", "HalfTweedieLoss HalfTweedieLossIdentity"),
    *_named("sklearn.calibration", "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling"),
    *_named("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer SGDOptimizer"),
    *_named("sklearn.utils._metadata_requests", "MetadataRequest MethodMetadataRequest"),
    *_named(
        "sklearn.gaussian_process.kernels",
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern PairwiseKernel Product RBF"
        " RationalQuadratic Sum WhiteKernel",
    ),
}

_MODEL_SELECTION = {
    *_named(
        "sklearn.metrics._scorer",
        "_Scorer _CurveScorer _PassthroughScorer negative_likelihood_ratio positive_likelihood_ratio",
    ),
    *_named(
        "sklearn.model_selection._split",
        "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut PredefinedSplit"
        " RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold"
        " StratifiedShuffleSplit TimeSeriesSplit",
    ),
    *_named(
        "sklearn.metrics._classification",
        "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score d2_brier_score d2_log_loss_score"
        " f1_score fbeta_score jaccard_score log_loss matthews_corrcoef precision_score recall_score",
    ),
    *_named("sklearn.metrics._ranking", "average_precision_score roc_auc_score top_k_accuracy_score"),
    *_named(
        "sklearn.metrics._regression",
        "d2_absolute_error_score d2_pinball_score explained_variance_score max_error mean_absolute_error"
        " mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss mean_poisson_deviance"
        " mean_squared_error mean_squared_log_error mean_tweedie_deviance median_absolute_error r2_score"
        " root_mean_squared_error root_mean_squared_log_error",
    ),
    *_named(
        "sklearn.metrics.cluster._supervised",
        "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score homogeneity_score"
        " mutual_info_score normalized_mutual_info_score rand_score v_measure_score",
    ),
}

_FUNCTIONS = {
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.utils.validation.check_array",
    *_named("numpy", "asarray clip max mean median min nan_to_num ravel reshape sum"),
    *_named("sklearn.cluster._kmeans", "_kmeans_single_elkan _kmeans_single_lloyd"),
    *_named("sklearn.feature_selection._mutual_info", "mutual_info_classif mutual_info_regression"),
    *_named("sklearn.feature_selection._univariate_selection", "chi2 f_classif f_oneway f_regression r_regression"),
}

#: Types of boosted trees, whose bytes compiled code reads.
BOOSTED_TYPES: frozenset[str] = frozenset().union(*CLASSES.values())
_PARTS_OF_BOOSTERS = {"collections.OrderedDict"}

#: Qualified names of types and functions of scikit-learn, NumPy, SciPy, libraries of boosted trees and the standard
#: library.
TRUSTED_TYPES: frozenset[str] = frozenset(
    _TABLES | _DISTANCES | _PARTS_OF_ESTIMATORS | _MODEL_SELECTION | _FUNCTIONS | BOOSTED_TYPES | _PARTS_OF_BOOSTERS
)


def names_in_skops(data: bytes) -> set[str]:
    """Names of the classes and functions in the description of a skops file.

    It is read here as skops reads it, but without building the tree of the whole model. The file may use further names,
    which only skops finds; skops alone decides what is loaded.

    Raises
    ------
    zipfile.BadZipFile, KeyError, ValueError
        It is no file of skops.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as content:
        waiting: list[Any] = [[json.loads(content.read("schema.json"))]]
    found = set()
    # A forest has ten thousands of parts.
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for module, name in (("__module__", "__class__"), ("module_path", "function")):
                # A model's own dictionary may have any key.
                if isinstance(part.get(name), str):
                    found.add((str(part.get(module)), part[name]))
            part = part.values()
        waiting += [value for value in part if isinstance(value, dict | list)]
    return {f"{module}.{name}" for module, name in found}
