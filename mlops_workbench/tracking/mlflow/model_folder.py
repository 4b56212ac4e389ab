"""The MLflow model folder of a journalled model, written without loading the model.

``mlflow.sklearn.save_model`` writes the estimator, loads it again to check it and once more to infer
requirements. Here the kernel, which has the user's classes, has written the file; this process adds the files of
an MLflow model and never deserialises user objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mlops_workbench.core.boosters import CBM_FILE, CLASSES, LGB_FILE, LIGHTGBM_BOOSTER, UBJ_FILE
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.manifest import inside, write_manifest
from mlops_workbench.core.model_schema import ONE_COLUMN, SCHEMA_FILE, decode_schema
from mlops_workbench.core.records import Column, Model
from mlops_workbench.core.store import BlobStore
from mlops_workbench.core.trust import TRUSTED_TYPES
from mlops_workbench.tracking.mapping.models import model_uid

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

EXAMPLE = "input_example.json"
SERVING_EXAMPLE = "serving_input_example.json"

_NETWORK = "data"
#: For each flavor its formats, and the file of each.
_FORMATS = {
    "sklearn": {"skops": "model.skops", "cloudpickle": "model.pkl", "pickle": "model.pkl"},
    "xgboost": {"ubj": UBJ_FILE},
    "lightgbm": {"lgb": LGB_FILE, "skops": "model.skops", "cloudpickle": "model.pkl"},
    "catboost": {"cbm": CBM_FILE},
    "pytorch": {"torch": f"{_NETWORK}/model.pth"},
    "keras": {"keras": f"{_NETWORK}/model.keras"},
}
#: NumPy's names of MLflow's data types.
NUMPY_TYPES = {
    "double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool",
    "string": "str", "datetime": "datetime64[ns]",
}  # fmt: skip
_PYTHON = re.compile(r"\d+\.\d+(\.\d+)?")


def write_model_folder(
    folder: Path, model: Model, blobs: BlobStore, *, run_id: str, model_id: str, location: str, python: str = ""
) -> None:
    """Write the MLflow model folder of `model`.

    Parameters
    ----------
    folder : Path
        Empty or missing folder.
    model : Model
        The journal record; its files are in `blobs`.
    blobs : BlobStore
        The workspace's blobs.
    run_id, model_id, location : str
        MLflow's ids of the run and of the logged model, and the URI of its files.
    python : str
        Python version of the kernel that logged it.

    Raises
    ------
    InvalidInput
        Unknown flavor or format, no model file in the record, or a file outside the folder.
    NotFound
        A blob is missing.
    """
    from mlflow.models import Model as StoreModel
    from mlflow.pyfunc import add_to_model

    data = _check(model)
    folder.mkdir(parents=True, exist_ok=True)
    for path, digest in model.files.items():
        blobs.export(digest, inside(folder, path))

    requirements = _requirements(model)
    store_model = StoreModel(artifact_path=location, run_id=run_id, model_uuid=model_id, model_id=model_id)
    store_model.signature = signature(_inputs(model, folder), model.outputs)
    if EXAMPLE in model.files:
        store_model.saved_input_example_info = _write_example(folder)
    add_to_model(
        store_model,
        loader_module=f"mlflow.{model.flavor}",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        **_loader_options(model, data),
    )
    flavors = store_model.flavors["python_function"]
    flavors["python_version"] = _python(python)
    store_model.add_flavor(model.flavor, **_flavor_options(model, data, requirements))
    store_model.metadata = {"mlops": {"estimator": model.estimator, "model_uid": model_uid(model)}}
    store_model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    store_model.save(str(folder / "MLmodel"))
    _write_environment(folder, requirements, _python(python))
    write_manifest(folder)


def signature(inputs: list[Column], outputs: list[Column]) -> ModelSignature | None:
    """MLflow signature of recorded columns, None when the inputs are unknown; unnamed inputs are a tensor."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    if not inputs:
        return None
    if any(not column.name for column in inputs):
        import numpy as np

        kind = np.dtype(NUMPY_TYPES.get(inputs[0].dtype, "float64"))
        width = -1 if len(inputs) == 1 else len(inputs)
        schema = Schema([TensorSpec(kind, (-1, width))])
    else:
        schema = Schema([ColSpec(column.dtype, column.name, column.required) for column in inputs])
    produced = [ColSpec(c.dtype, c.name or (None if len(outputs) == 1 else str(i))) for i, c in enumerate(outputs)]
    return ModelSignature(inputs=schema, outputs=Schema(produced) if produced else None)


def _inputs(model: Model, folder: Path) -> list[Column]:
    """Columns for the signature: those of an array have no names in MLflow."""
    if SCHEMA_FILE not in model.files or not model.inputs:
        return model.inputs
    try:
        schema = decode_schema((folder / SCHEMA_FILE).read_bytes())
    except ValueError as error:
        raise InvalidInput(f"the schema of the model is damaged: {error}", where=model.name) from error
    # One column without a table around it may be texts, which MLflow passes on in a table.
    if schema.is_named or schema.form in ONE_COLUMN:
        return model.inputs
    return [Column("", column.dtype, column.required) for column in model.inputs]


def _check(model: Model) -> str:
    if model.flavor not in _FORMATS:
        raise InvalidInput(f"models of flavor '{model.flavor}' are not supported", where=model.name)
    data = _FORMATS[model.flavor].get(model.format)
    if data is None:
        raise InvalidInput(f"models in format '{model.format}' are not supported", where=model.name)
    if data not in model.files:
        raise InvalidInput(f"the record has no file {data}", where=model.name)
    return data


def _loader_options(model: Model, data: str) -> dict[str, Any]:
    if model.flavor == "pytorch":
        return {"data": _NETWORK, "pickle_module_name": "mlflow.pytorch.pickle_module"}
    if model.flavor == "sklearn":
        return {"model_path": data, "predict_fn": "predict"}
    # Keras' loader reads the paths from the flavor.
    return {"data": data} if model.flavor in CLASSES else {}


def _flavor_options(model: Model, data: str, requirements: list[str]) -> dict[str, Any]:
    if model.flavor == "pytorch":
        return {
            "model_data": _NETWORK,
            "pytorch_version": model.version or _pinned(requirements, "torch"),
            "code": None,
        }
    if model.flavor == "keras":
        backend = next((name for name in ("tensorflow", "torch", "jax") if _names(requirements, name)), "tensorflow")
        return {
            "data": _NETWORK,
            "keras_version": model.version or _pinned(requirements, "keras"),
            "keras_backend": backend,
            "save_exported_model": False,
        }
    if model.flavor == "xgboost":
        return {
            "xgb_version": model.version,
            "data": data,
            "model_class": model.estimator,
            "model_format": model.format,
            "code": None,
        }
    if model.flavor == "catboost":
        return {
            "catboost_version": model.version,
            "data": data,
            "model_type": model.estimator.rpartition(".")[2],
            "save_format": model.format,
            "code": None,
        }
    # A short list: MLflow looks each part of the model up in it.
    types = sorted({*TRUSTED_TYPES, *model.untrusted}) if model.types is None else model.types
    stored = {
        "serialization_format": model.format,
        "code": None,
        "skops_trusted_types": types if model.format == "skops" else None,
    }
    if model.flavor == "lightgbm":
        # MLflow reads the text model only as a bare booster.
        kind = LIGHTGBM_BOOSTER if model.format == "lgb" else model.estimator
        found = model.version or _pinned(requirements, "lightgbm")
        return {"lgb_version": found, "data": data, "model_class": kind, **stored}
    return {"pickled_model": data, "sklearn_version": _pinned(requirements, "scikit-learn"), **stored}


def _write_example(folder: Path) -> dict[str, str]:
    content = json.loads((folder / EXAMPLE).read_text(encoding="utf-8"))
    frame = content.get("dataframe_split", content) if isinstance(content, dict) else content
    split = isinstance(frame, dict) and "data" in frame
    if split and not frame.get("columns"):
        # A matrix: MLflow's tensor form.
        serving: dict[str, Any] = {"inputs": frame["data"]}
        stored, info = {"inputs": frame["data"]}, {"type": "ndarray", "format": "tf-serving"}
    elif split:
        stored = {key: frame[key] for key in ("columns", "data", "index") if key in frame}
        serving = {"dataframe_split": {key: frame[key] for key in ("columns", "data")}}
        info = {"type": "dataframe", "pandas_orient": "split"}
    else:
        stored, serving, info = frame, {"inputs": frame}, {"type": "json_object"}
    for name, content in ((EXAMPLE, stored), (SERVING_EXAMPLE, serving)):
        # Half of a surrogate pair, which a text of a user may have, is no UTF-8.
        (folder / name).write_bytes(json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    return {"artifact_path": EXAMPLE, "serving_input_path": SERVING_EXAMPLE, **info}


def _requirements(model: Model) -> list[str]:
    found = list(model.requirements)
    needed = ["mlflow"]
    if model.flavor == "sklearn" or model.format in ("skops", "cloudpickle"):
        needed += ["scikit-learn", "skops" if model.format == "skops" else "cloudpickle"]
    found += [f"{name}=={_installed(name)}" for name in needed if not _names(found, name) and _installed(name)]
    return sorted(found, key=str.lower)


def _names(requirements: Iterable[str], package: str) -> bool:
    return any(re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() == package for line in requirements)


def _pinned(requirements: Iterable[str], package: str) -> str:
    for line in requirements:
        name, _, pinned = line.partition("==")
        if name.strip().lower() == package and pinned:
            return pinned.strip()
    return _installed(package)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _python(recorded: str) -> str:
    import platform

    found = _PYTHON.search(recorded)
    return found.group(0) if found else platform.python_version()


def _write_environment(folder: Path, requirements: list[str], python: str) -> None:
    conda: Mapping[str, Any] = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    environment = {
        "python": python,
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": ["-r requirements.txt"],
    }
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False), encoding="utf-8")
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment, sort_keys=False), encoding="utf-8")
