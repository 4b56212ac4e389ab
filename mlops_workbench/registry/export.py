"""Atomic export of model versions from the registry."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.manifest import MANIFEST, SIGNATURE, Manifest, read_manifest, write_manifest

_ADDED = "registered_model_meta"


def export_version(target: Path, download: Callable[[Path], Path], signature: bytes | None = None) -> Path:
    """Create the model folder `target` from the files that `download` copies.

    Two processes may do this at once: the folder is renamed into place, and the first one wins.

    Parameters
    ----------
    target : Path
        Folder to create; kept if it exists and matches its manifest.
    download : callable
        Copies the version's files into a folder, and returns the path of the model in it.
    signature : bytes, optional
        The signature of the version; without one, that among the files is kept, if there is one.

    Raises
    ------
    StorageError
        A file differs from the manifest, or `target` cannot be written.
    """
    if _is_valid(target):
        if signature is not None:
            put_signature(target, signature)
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise StorageError(
            f"cannot export a model: {error.strerror or error}",
            where=str(target.parent),
            hint="check that the workspace is writable and has free space",
        ) from error
    try:
        ready = staging / "ready"
        loaded = download(staging / "loaded")
        if not (loaded / "MLmodel").is_file():
            hint = "register the model again"
            raise StorageError("the version contains no MLflow model", where=str(target), hint=hint)
        manifest = manifest_of(loaded)
        manifest.verify(loaded)
        # Files that the manifest does not name are left out: MLflow adds files to a download.
        for path in (*manifest.files, MANIFEST):
            (ready / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(loaded / path, ready / path)
        if signature is not None:
            (ready / SIGNATURE).write_bytes(signature)
        elif (loaded / SIGNATURE).is_file():
            os.replace(loaded / SIGNATURE, ready / SIGNATURE)
        _sync(ready)
        _put(ready, target)
    except OSError as error:
        raise StorageError(
            f"cannot export a model: {error.strerror or error}", where=str(target), hint="check the free space"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def manifest_of(folder: Path) -> Manifest:
    """The manifest of downloaded files; it is written for a model of MLflow code, which has none."""
    if not (folder / MANIFEST).is_file():
        # MLflow adds it to a download.
        (folder / _ADDED).unlink(missing_ok=True)
        write_manifest(folder)
    return read_manifest(folder)


def put_signature(folder: Path, signature: bytes) -> None:
    """Put the signature of a version into its exported folder, unless it is there."""
    file = folder / SIGNATURE
    if not file.is_file() or file.read_bytes() != signature:
        write_atomic(file, signature)


def newest_export(folder: Path, version: int) -> Path | None:
    """The newest valid copy of a version among the exports of a model, None without one."""
    # Without a digest in its name, by version 0.1.
    exports = [*folder.glob(f"{version}-*"), *folder.glob(f"{version}")]
    found = sorted(exports, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path for path in found if _is_valid(path)), None)


def _is_valid(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        read_manifest(folder).verify(folder)
    except StorageError:
        return False
    return True


def _put(ready: Path, target: Path) -> None:
    try:
        os.replace(ready, target)
    except OSError:
        if _is_valid(target):
            return
        # A damaged folder is moved away first, since a folder cannot be replaced in one step.
        os.replace(target, ready.with_name("damaged"))
        os.replace(ready, target)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
