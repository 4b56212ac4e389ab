"""Models that MLflow code logged to a run, described as those of the journal."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_workbench.core.boosters import LIGHTGBM_BOOSTER
from mlops_workbench.core.records import Column, Model
from mlops_workbench.core.tags import MODEL_UID
from mlops_workbench.tracking.mapping.values import as_text
from mlops_workbench.tracking.mlflow.connection import MlflowConnection, all_pages
from mlops_workbench.tracking.mlflow.model_folder import NUMPY_TYPES

if TYPE_CHECKING:
    from mlflow.models.signature import Schema

_READY = "READY"
#: Flavor that every model has beside its own.
_PYFUNC = "python_function"
_TYPES = {numpy_type: dtype for dtype, numpy_type in NUMPY_TYPES.items()}


class MlflowModel(NamedTuple):
    """A model in MLflow: its id, its name in the run, and when it was made."""

    model_id: str
    name: str
    created_ms: int


def models_of_run(connection: MlflowConnection, run_id: str) -> list[MlflowModel]:
    """Complete models of a run that MLflow code logged, the newest last."""
    with connection.calls() as client:
        experiment = client.get_run(run_id).info.experiment_id
        search = partial(client.search_logged_models, [experiment], f"source_run_id = '{run_id}'")
        found = [
            MlflowModel(model.model_id, model.name, model.creation_timestamp)
            for model in all_pages(search)
            if MODEL_UID not in model.tags and model.status.value == _READY
        ]
    return sorted(found, key=lambda model: (model.created_ms, model.model_id))


def describe_model(connection: MlflowConnection, run_uid: str, model: MlflowModel) -> Model:
    """Flavor, format and signature of a model, from its ``MLmodel`` file.

    Raises
    ------
    NotFound
        The file is missing.
    """
    with connection.calls() as client, tempfile.TemporaryDirectory(prefix="mlops-mlmodel-") as folder:
        from mlflow.artifacts import download_artifacts
        from mlflow.models import Model as StoreModel

        location = client.get_logged_model(model.model_id).artifact_location.rstrip("/")
        file = download_artifacts(f"{location}/MLmodel", dst_path=folder, tracking_uri=connection.uri)
        found = StoreModel.load(str(Path(file)))
    flavor, options = next(
        ((key, conf) for key, conf in found.flavors.items() if key != _PYFUNC), ("pyfunc", found.flavors.get(_PYFUNC))
    )
    signature = found.signature
    return Model(
        run_uid=run_uid,
        name=model.name,
        flavor=flavor,
        format=_format(flavor, options or {}),
        files={},
        inputs=_columns(signature.inputs) if signature else [],
        outputs=_columns(signature.outputs) if signature else [],
        estimator=as_text((options or {}).get("model_class") or (options or {}).get("model_type") or ""),
        at_ms=model.created_ms,
    )


def _format(flavor: str, options: dict[str, Any]) -> str:
    """Name of the file format; the name of the flavor if endpoints serve none of its formats."""
    if flavor == "sklearn":
        return as_text(options.get("serialization_format") or "pickle")
    if flavor == "xgboost":
        found = as_text(options.get("model_format") or "")
        return found if found in ("ubj", "json") else flavor
    if flavor == "lightgbm":
        # As in MLflow: without a class, it is a bare booster.
        is_text = options.get("model_class", LIGHTGBM_BOOSTER) == LIGHTGBM_BOOSTER
        return "lgb" if is_text else as_text(options.get("serialization_format") or "cloudpickle")
    if flavor == "catboost":
        return "cbm" if options.get("save_format") == "cbm" else flavor
    return flavor


def _columns(schema: Schema | None) -> list[Column]:
    """Columns of a schema; an array of two dimensions has one without a name for each of its columns."""
    from mlflow.types.schema import TensorSpec

    columns = []
    for item in schema.inputs if schema else []:
        name = item.name or ""
        if isinstance(item, TensorSpec):
            kind = item.type.name.rstrip("0123456789") if item.type.kind == "U" else item.type.name
            width = item.shape[-1] if not name and len(item.shape) == 2 else 1
            columns += [Column(name, _TYPES.get(kind, kind), item.required)] * max(width, 1)
        else:
            columns.append(Column(name, getattr(item.type, "name", str(item.type)), item.required))
    return columns
