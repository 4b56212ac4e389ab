"""Names and ids of models in MLflow."""

from __future__ import annotations

import hashlib
import re

from mlops_workbench.core.records import Model


def model_uid(model: Model) -> str:
    """Identity of a journalled model, derived from its record."""
    parts = [model.run_uid, model.name, str(model.at_ms), *sorted(f"{k}={v}" for k, v in model.files.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def store_model_name(name: str) -> str:
    """A name that MLflow accepts for a logged model: without ``/ : . % " '``."""
    return re.sub(r"[/:.%\"']", "_", name) or "model"
