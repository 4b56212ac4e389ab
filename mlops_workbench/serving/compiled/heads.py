"""Final estimators: from an array of numbers to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn import ensemble, linear_model, svm, tree
from sklearn.base import is_classifier

from mlops_workbench.data.fitted.answers import PREDICT, PREDICT_PROBA
from mlops_workbench.serving.compiled.nouns import Array, Head, NotCompiled, Unusual
from mlops_workbench.serving.compiled.trees import MergedPredictors, MergedTrees
from mlops_workbench.serving.compiled.xgboost_trees import xgboost_head

_FORESTS = (
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
)
_SINGLE = (tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, tree.ExtraTreeClassifier, tree.ExtraTreeRegressor)
_HISTOGRAM = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
_BOOSTED = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
_LINEAR = (
    *(linear_model.LinearRegression, linear_model.Ridge, linear_model.RidgeCV, linear_model.Lasso),
    *(linear_model.LassoCV, linear_model.ElasticNet, linear_model.ElasticNetCV, linear_model.Lars),
    *(linear_model.LassoLars, linear_model.BayesianRidge, linear_model.ARDRegression, linear_model.HuberRegressor),
    *(linear_model.SGDRegressor, linear_model.TheilSenRegressor, linear_model.QuantileRegressor, svm.LinearSVR),
)
_LINEAR_CLASSIFIERS = (
    *(linear_model.LogisticRegression, linear_model.LogisticRegressionCV, linear_model.RidgeClassifier),
    *(linear_model.RidgeClassifierCV, linear_model.SGDClassifier, linear_model.Perceptron, svm.LinearSVC),
)


_XGBOOST = ("xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor")
_LIGHTGBM = ("lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor")


def head_of(estimator: Any) -> Head:
    """Return the program of a final estimator.

    Raises
    ------
    NotCompiled
        None is known for its class or its options.
    """
    # Not `isinstance`: a derived class may answer otherwise.
    kind = type(estimator)
    for kinds, make in (
        (_FORESTS, _Forest),
        (_SINGLE, _SingleTree),
        (_HISTOGRAM, _Histogram),
        (_BOOSTED, _Boosted),
        (_LINEAR, _Linear),
        (_LINEAR_CLASSIFIERS, _LinearClassifier),
    ):
        if kind in kinds:
            head: Head = make(estimator)
            return head
    if f"{kind.__module__}.{kind.__qualname__}" in _XGBOOST:
        return xgboost_head(estimator)
    if f"{kind.__module__}.{kind.__qualname__}" in _LIGHTGBM:
        return _lightgbm(estimator)
    return _own(estimator)


class _Classes:
    """Labels of a classifier."""

    def __init__(self, estimator: Any) -> None:
        self._classes = np.asarray(estimator.classes_)
        if self._classes.ndim != 1:
            raise NotCompiled("it has several targets")

    def answers(self, probabilities: Array) -> dict[str, Array]:
        labels = self._classes.take(probabilities.argmax(axis=1), axis=0)
        return {PREDICT: labels, PREDICT_PROBA: probabilities}

    def of_scores(self, scores: Array, *, ties: bool) -> Array:
        if scores.shape[1] > 1:
            labels: Array = self._classes.take(scores.argmax(axis=1), axis=0)
            return labels
        positive = scores[:, 0] >= 0 if ties else scores[:, 0] > 0
        return self._classes.take(positive.astype(np.intp), axis=0)


class _Forest:
    def __init__(self, forest: Any) -> None:
        self._trees = MergedTrees([one.tree_ for one in forest.estimators_])
        self._size = len(forest.estimators_)
        self._classes = _Classes(forest) if is_classifier(forest) else None
        self._allows_nan = bool(forest.__sklearn_tags__().input_tags.allow_nan)

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        if not self._allows_nan:
            refuse_missing(block)
        sums = self._trees.sums(block)
        sums /= self._size
        if self._classes is not None:
            return self._classes.answers(sums[:, 0, :])
        means = sums[:, :, 0]
        return {PREDICT: means[:, 0] if means.shape[1] == 1 else means}


class _SingleTree(_Forest):
    def __init__(self, one: Any) -> None:
        self._trees = MergedTrees([one.tree_])
        self._size = 1
        self._classes = _Classes(one) if is_classifier(one) else None
        self._allows_nan = bool(one.__sklearn_tags__().input_tags.allow_nan)


class _Histogram:
    def __init__(self, model: Any) -> None:
        known, places = model._bin_mapper.make_known_categories_bitsets()
        self._trees = MergedPredictors([one for stage in model._predictors for one in stage], known, places)
        self._first = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
        self._loss = model._loss
        self._classes = _Classes(model) if is_classifier(model) else None

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        raw = self._trees.sums(block, self._first)
        if self._classes is None:
            return {PREDICT: self._loss.link.inverse(raw.ravel())}
        found = {PREDICT: self._classes.of_scores(raw, ties=False)}
        if PREDICT_PROBA in outputs:
            found[PREDICT_PROBA] = self._loss.predict_proba(raw)
        return found


class _Boosted:
    def __init__(self, model: Any) -> None:
        from sklearn.ensemble._gradient_boosting import predict_stages

        if model.init is not None and not (isinstance(model.init, str) and model.init == "zero"):
            raise NotCompiled(f"{type(model).__name__} has an init estimator of its own")
        self._predict = predict_stages
        self._stages, self._rate = model.estimators_, model.learning_rate
        # Without an own estimator, the first values are the same for every row.
        self._first = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
        self._loss = model._loss
        self._classes = _Classes(model) if is_classifier(model) else None

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        refuse_missing(block)
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(block, dtype=np.float32)
        refuse_missing(narrow)
        raw = np.repeat(self._first, len(block), axis=0)
        self._predict(self._stages, narrow, self._rate, raw)
        if self._classes is None:
            return {PREDICT: raw.ravel()}
        found = {PREDICT: self._classes.of_scores(raw, ties=True)}
        if PREDICT_PROBA in outputs:
            found[PREDICT_PROBA] = self._loss.predict_proba(raw)
        return found


class _Linear:
    def __init__(self, model: Any) -> None:
        self._coefficients = np.asarray(model.coef_).T
        self._intercept = model.intercept_

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        refuse_missing(block)
        return {PREDICT: block @ self._coefficients + self._intercept}


class _LinearClassifier:
    def __init__(self, model: Any) -> None:
        coefficients = np.asarray(model.coef_)
        self._coefficients = coefficients.reshape(-1, coefficients.shape[-1]).T
        self._intercept = model.intercept_
        self._classes = _Classes(model)
        if len(model.classes_) > 2 and coefficients.shape[0] != len(model.classes_):
            raise NotCompiled("it has several targets")
        #: SGDClassifier has its own probabilities.
        self._is_logistic = isinstance(model, linear_model.LogisticRegression | linear_model.LogisticRegressionCV)

    def __call__(self, block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        refuse_missing(block)
        scores = block @ self._coefficients + self._intercept
        found = {PREDICT: self._classes.of_scores(scores, ties=False)}
        if PREDICT_PROBA in outputs:
            if not self._is_logistic:
                raise Unusual
            if scores.shape[1] == 1:
                positive = expit(scores[:, 0])
                found[PREDICT_PROBA] = np.stack([1 - positive, positive], axis=1)
            else:
                found[PREDICT_PROBA] = softmax(scores, axis=1)
        return found


def _lightgbm(model: Any) -> Head:
    """The booster of a model of LightGBM, without the checks of its scikit-learn interface."""
    booster = model.booster_
    if not isinstance(model.objective_, str):
        raise NotCompiled(f"{type(model).__name__} has an own loss")
    classes = np.asarray(model.classes_) if is_classifier(model) else None

    def head(block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        if np.isinf(block).any():
            raise Unusual
        found = np.asarray(booster.predict(block, num_threads=1))
        if classes is None:
            return {PREDICT: found}
        if found.ndim == 1:
            found = np.stack([1.0 - found, found], axis=1)
        return {PREDICT: classes.take(found.argmax(axis=1)), PREDICT_PROBA: found}

    return head


def _own(estimator: Any) -> Head:
    """The estimator's own methods, which spare the steps before it a DataFrame."""
    kind = type(estimator)
    library = kind.__module__.partition(".")[0]
    # One that was fitted on names warns at each array, and so do those in it.
    is_named = library == "sklearn" and hasattr(estimator, "feature_names_in_")
    if library not in ("sklearn", "xgboost", "catboost") or is_named:
        raise NotCompiled(f"{kind.__name__} has no compiled form")

    def head(block: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        try:
            return {name: np.asarray(getattr(estimator, name)(block)) for name in outputs}
        except (ValueError, TypeError):
            raise Unusual from None

    return head


def refuse_missing(block: Array) -> None:
    """Raise `Unusual` if a value is missing or infinite, or so large that the estimator itself has to decide."""
    if not np.isfinite(block.sum()):
        raise Unusual
