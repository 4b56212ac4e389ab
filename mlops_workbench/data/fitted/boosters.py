"""A bare booster of XGBoost as a model that answers tables."""

from __future__ import annotations

from typing import Any

from mlops_workbench.core.boosters import XGBOOST_BOOSTER


class TableBooster:
    """A bare booster of XGBoost, which itself takes nothing but matrices of XGBoost.

    Parameters
    ----------
    booster : xgboost.Booster
        The booster.
    """

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, X: Any) -> Any:
        """Return what the booster answers to the rows of a table or array."""
        import xgboost

        return self.booster.predict(xgboost.DMatrix(X, enable_categorical=True))


def answering(model: Any) -> Any:
    """Return the object that answers tables for a model: usually the model itself."""
    kind = type(model)
    return TableBooster(model) if f"{kind.__module__}.{kind.__qualname__}" == XGBOOST_BOOSTER else model


def fitted(model: Any) -> Any:
    """Return the fitted object behind one that answers tables."""
    return model.booster if isinstance(model, TableBooster) else model
