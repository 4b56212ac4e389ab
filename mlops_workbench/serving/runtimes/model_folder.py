"""A model version on disk: verified against its manifest before anything in it is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml

from mlops_workbench.core.store import digest_file
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.rows.signature import Signature, parse_signature

MANIFEST = "mlops/manifest.json"


class ManifestEntry(msgspec.Struct, frozen=True):
    """What a file must be: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """Files of a model folder by relative path."""

    files: dict[str, ManifestEntry]


@dataclass(frozen=True)
class ModelFolder:
    """A verified model folder.

    Attributes
    ----------
    path : Path
        The folder.
    signature : Signature
        What the model takes.
    format : str
        ``skops`` or ``pickle``.
    predict_method : str
        Method that MLflow's ``predict`` stands for, usually ``predict``.
    mlflow_version : str
        MLflow that wrote it.
    example : bytes
        Body for ``/invocations`` that the author gave as an example, empty without one.
    data : bytes
        The serialised estimator: the very bytes that were verified, so that nobody can swap the file between
        the check and the load.
    """

    path: Path
    signature: Signature
    format: str
    predict_method: str
    mlflow_version: str
    example: bytes
    data: bytes = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> ModelFolder:
        """Verify every file, then read what describes the model.

        Raises
        ------
        InvalidModel
            No manifest, a missing or changed file, no signature, or not a scikit-learn model.
        """
        manifest = _manifest(path)
        for name, entry in manifest.files.items():
            _verify(path, name, entry)
        raw = _verified_bytes(path, "MLmodel", manifest)
        try:
            description = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise InvalidModel(f"MLmodel is not valid YAML: {error}", where=str(path)) from error
        if not isinstance(description, dict):
            raise InvalidModel("MLmodel is empty", where=str(path))
        flavors = description.get("flavors")
        flavor = flavors.get("sklearn") if isinstance(flavors, dict) else None
        if not isinstance(flavor, dict):
            raise InvalidModel(
                "not a scikit-learn model", where=str(path), hint="log it with mlflow.sklearn or the workbench"
            )
        file = str(flavor.get("pickled_model"))
        function = flavors.get("python_function") if isinstance(flavors, dict) else None
        method = function.get("predict_fn", "predict") if isinstance(function, dict) else "predict"
        return cls(
            path=path,
            signature=parse_signature(description.get("signature"), str(path / "MLmodel")),
            # MLflow has three spellings of pickle (pickle, cloudpickle, joblib): all run code when loaded.
            format="skops" if flavor.get("serialization_format") == "skops" else "pickle",
            predict_method=str(method),
            mlflow_version=str(description.get("mlflow_version", "")),
            example=_example(path, description, manifest),
            data=_verified_bytes(path, file, manifest),
        )


def _manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise InvalidModel(
            "the model folder has no manifest, so nothing in it can be verified",
            where=str(file),
            hint="endpoints serve folders that the registry exported",
        ) from None
    except OSError as error:
        raise InvalidModel(f"the manifest cannot be read: {error.strerror}", where=str(file)) from error
    except msgspec.DecodeError as error:
        raise InvalidModel(f"the manifest is broken: {error}", where=str(file)) from error
    for name in manifest.files:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise InvalidModel(f"the manifest names a file outside the folder: {name}", where=str(file))
    return manifest


def _verify(path: Path, name: str, entry: ManifestEntry) -> None:
    file = path / name
    try:
        size, digest = file.stat().st_size, digest_file(file)
    except OSError as error:
        raise InvalidModel(f"{name} of the model cannot be read: {error.strerror}", where=str(file)) from error
    _compare(file, size, digest, entry)


def _verified_bytes(path: Path, name: str, manifest: Manifest) -> bytes:
    entry = manifest.files.get(name)
    if entry is None:
        raise InvalidModel(f"the manifest does not name {name}, so it cannot be verified", where=str(path / MANIFEST))
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise InvalidModel(f"{name} of the model cannot be read: {error.strerror}", where=str(path)) from error
    _compare(path / name, len(data), hashlib.sha256(data).hexdigest(), entry)
    return data


def _compare(file: Path, size: int, digest: str, entry: ManifestEntry) -> None:
    if (size, digest) != (entry.size, entry.sha256):
        raise InvalidModel(
            f"{file.name} is not the file that was registered",
            where=str(file),
            hint="remove the exported folder; it is made again from the registry",
        )


def _example(path: Path, description: Mapping[str, Any], manifest: Manifest) -> bytes:
    info = description.get("saved_input_example_info")
    name = info.get("serving_input_path") if isinstance(info, dict) else None
    return _verified_bytes(path, name, manifest) if isinstance(name, str) and name in manifest.files else b""
