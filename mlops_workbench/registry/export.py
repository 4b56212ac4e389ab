"""Model versions copied out of the registry, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.manifest import MANIFEST, read_manifest, write_manifest


def export_version(target: Path, download: Callable[[Path], Path]) -> Path:
    """Make the model folder `target` from what `download` puts into a folder.

    Two processes may do this at once: the folder appears by a rename, and the first one wins.

    Parameters
    ----------
    target : Path
        Folder to make; kept as it is when it is there and whole.
    download : callable
        Gets the path of a folder, copies the version's files into it, and returns where in it the model is.

    Raises
    ------
    StorageError
        A file differs from the manifest, or `target` cannot be written.
    """
    if _whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise StorageError(
            f"cannot export a model: {error.strerror or error}",
            where=str(target.parent),
            hint="check that the workspace is writable and has room",
        ) from error
    try:
        ready = staging / "ready"
        loaded = download(staging / "loaded")
        if not (loaded / "MLmodel").is_file():
            raise StorageError("the version holds no MLflow model", where=str(target), hint="register the model again")
        if not (loaded / MANIFEST).is_file():
            # Registered by plain MLflow: what was downloaded is what there is to check against.
            write_manifest(loaded)
        manifest = read_manifest(loaded)
        manifest.verify(loaded)
        # Files that the manifest does not name are left out: MLflow adds some of its own on a download.
        for path in (*manifest.files, MANIFEST):
            (ready / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(loaded / path, ready / path)
        _sync(ready)
        _put(ready, target)
    except OSError as error:
        raise StorageError(
            f"cannot export a model: {error.strerror or error}", where=str(target), hint="check that there is room"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _whole(folder: Path) -> bool:
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
        if _whole(target):
            return
        # Damaged, or left by something else: move it aside first, since a folder cannot be replaced in one step.
        os.replace(target, ready.with_name("damaged"))
        os.replace(ready, target)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
