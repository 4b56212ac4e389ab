"""Data plane: the process of an endpoint, its protocols, versions and logs; independent of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.serving.app import create_app
    from mlops_workbench.serving.runtimes.estimator import load_estimator

__all__ = ["create_app", "load_estimator"]


def __getattr__(name: str) -> Any:
    # Lazy, so that deployments can read an endpoint's files without importing scikit-learn.
    if name == "create_app":
        from mlops_workbench.serving.app import create_app

        return create_app
    if name == "load_estimator":
        from mlops_workbench.serving.runtimes.estimator import load_estimator

        return load_estimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
