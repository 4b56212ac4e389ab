"""Import skops without all of scikit-learn, in processes that only answer.

To list the estimators that it trusts, skops imports every module of scikit-learn, of which a model needs a few: half a
second, and 11 MB in each endpoint. :func:`mlops_workbench.serving.runtimes.loading.is_public_estimator` trusts the same
ones. A process that saves models, too, needs the list.
"""

from __future__ import annotations

from mlops_workbench.journal.gc_pause import collection_paused


def import_skops() -> None:
    """Import skops with an empty list of estimators, and with it what it needs of scikit-learn."""
    # The collector looks through all that was imported before, again and again: a sixth of the time.
    with collection_paused():
        import sklearn.utils

        all_estimators = sklearn.utils.all_estimators
        sklearn.utils.all_estimators = list
        try:
            import skops.io  # noqa: F401
        finally:
            sklearn.utils.all_estimators = all_estimators


def complete() -> None:
    """Give skops its list, for a model whose own code may use skops."""
    from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES

    if not SKLEARN_ESTIMATOR_TYPE_NAMES:
        from sklearn.utils import all_estimators

        names = (f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators())
        SKLEARN_ESTIMATOR_TYPE_NAMES.extend(name for name in names if name.startswith("sklearn."))
