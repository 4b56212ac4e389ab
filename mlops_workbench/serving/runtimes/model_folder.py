"""The folder of a model version, verified against its manifest before anything in it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mlops_workbench.core.boosters import OPTIONS_FILE, BoosterOptions
from mlops_workbench.core.errors import UNREADABLE, StorageError
from mlops_workbench.core.manifest import Manifest, read_manifest
from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.data.fitted.golden import GoldenRows, read_golden
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.rows.signature import Signature, parse_signature, schema_signature
from mlops_workbench.serving.runtimes.flavors import Served, saved_model
from mlops_workbench.serving.signatures.check import check_signature

#: Without trusted keys: only a wrong signature is refused.
_ANY_SIGNATURE = ServingSettings()


@dataclass(frozen=True)
class ModelFolder:
    """A verified model folder.

    Attributes
    ----------
    path : Path
        The folder.
    signature : Signature
        Inputs of the model.
    library : str
        Flavor of MLflow: ``sklearn``, ``xgboost``, ``lightgbm`` or ``catboost``; ``pyfunc`` for any other.
    estimator : str
        Qualified class of the fitted object; empty if the file says it.
    format : str
        ``skops``, ``pickle``, or a format of the library: ``ubj``, ``json``, ``lgb``, ``cbm``;
        ``pyfunc`` if MLflow loads the folder.
    options : BoosterOptions
        What a file in the library's own format lacks.
    predict_method : str
        Method that MLflow's ``predict`` calls, usually ``predict``.
    mlflow_version : str
        Version of the MLflow that wrote it.
    example : bytes
        Input example as a body for ``/invocations``, empty without one.
    digest : str
        Identity of the model, see :attr:`Manifest.digest`.
    golden : list of GoldenRows
        Rows with the answers of the fitted object; empty without any.
    data : bytes
        The serialised estimator, as verified: the file cannot be exchanged between verification and loading. Not for
        ``pyfunc``, whose folder MLflow reads.
    """

    path: Path
    signature: Signature
    library: Served
    estimator: str
    format: str
    options: BoosterOptions
    predict_method: str
    mlflow_version: str
    example: bytes
    digest: str
    golden: list[GoldenRows] = field(repr=False)
    data: bytes = field(repr=False)

    @classmethod
    def open(cls, path: Path, settings: ServingSettings = _ANY_SIGNATURE) -> ModelFolder:
        """Verify every file and the signature, then read the description of the model.

        Parameters
        ----------
        path : Path
            The folder.
        settings : ServingSettings
            Trusted keys, and whether a signature is required.

        Raises
        ------
        InvalidModel
            No manifest, a missing or changed file, a wrong signature, no inputs, or a model of another library.
        """
        with _refused():
            manifest = read_manifest(path)
            manifest.verify(path)
            check_signature(path, manifest, settings)
            raw = manifest.read(path, "MLmodel")
        try:
            description = yaml.safe_load(raw)
        except (yaml.YAMLError, *UNREADABLE) as error:
            raise InvalidModel(f"MLmodel is not valid YAML: {error}", where=str(path)) from error
        if not isinstance(description, dict):
            raise InvalidModel("MLmodel is empty", where=str(path))
        flavors = description.get("flavors")
        saved = saved_model(flavors if isinstance(flavors, dict) else {}, str(path), settings.allow_pyfunc)
        function = flavors.get("python_function") if isinstance(flavors, dict) else None
        method = function.get("predict_fn", "predict") if isinstance(function, dict) else "predict"
        with _refused():
            data = manifest.read(path, saved.file)
            options = manifest.read(path, OPTIONS_FILE) if OPTIONS_FILE in manifest.files else b""
            example = _example(path, description, manifest)
            schema = manifest.read(path, SCHEMA_FILE) if SCHEMA_FILE in manifest.files else None
            golden = manifest.read(path, GOLDEN_FILE) if GOLDEN_FILE in manifest.files else None
        if schema is not None:
            signature = schema_signature(schema, str(path / SCHEMA_FILE))
        else:
            signature = parse_signature(description.get("signature"), str(path / "MLmodel"))
        return cls(
            path=path,
            signature=signature,
            library=saved.library,
            estimator=saved.estimator,
            format=saved.format,
            options=_options(options, path),
            predict_method=str(method),
            mlflow_version=str(description.get("mlflow_version", "")),
            example=example,
            digest=manifest.digest,
            golden=_golden(golden, signature, path),
            data=data,
        )


@contextmanager
def _refused() -> Iterator[None]:
    """Convert errors of a folder to errors of the endpoint."""
    try:
        yield
    except StorageError as error:
        raise InvalidModel(error.message, where=error.where, hint=error.hint) from error


def _options(content: bytes, path: Path) -> BoosterOptions:
    if not content:
        return BoosterOptions()
    try:
        return msgspec.json.decode(content, type=BoosterOptions)
    except msgspec.MsgspecError as error:
        raise InvalidModel(f"the options of the model are damaged: {error}", where=str(path / OPTIONS_FILE)) from error


def _golden(content: bytes | None, signature: Signature, path: Path) -> list[GoldenRows]:
    if content is None or signature.inputs is None:
        return []
    try:
        return read_golden(content, signature.inputs.schema)
    except ValueError as error:
        raise InvalidModel(str(error), where=str(path / GOLDEN_FILE), hint="register the model again") from error


def _example(path: Path, description: Mapping[str, Any], manifest: Manifest) -> bytes:
    info = description.get("saved_input_example_info")
    name = info.get("serving_input_path") if isinstance(info, dict) else None
    return manifest.read(path, name) if isinstance(name, str) and name in manifest.files else b""
