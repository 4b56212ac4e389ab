"""Outputs of stages as blobs: kept after a stage, restored instead of running it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.store import BlobStore

_CHUNK = 1 << 20


class DamagedOutput(Exception):
    """A blob is missing or has other content than its digest says, so the stage has to run again."""


def keep_output(blobs: BlobStore, path: Path) -> dict[str, str]:
    """Store an output, a file or a folder.

    Returns
    -------
    dict
        Paths below the output (empty for a file) to blobs.

    Raises
    ------
    StorageError
        It cannot be stored.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {str(file.relative_to(path)): blobs.put_file(file) for file in files}
    return {"": blobs.put_file(path)}


def restore_output(blobs: BlobStore, files: Mapping[str, str], path: Path) -> None:
    """Write a stored output to a path, whole or not at all.

    Raises
    ------
    DamagedOutput
        A blob is missing or damaged; a damaged one is put aside.
    StorageError
        The path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if list(files) == [""]:
            _restore_file(blobs, files[""], path)
            return
        temporary = Path(tempfile.mkdtemp(prefix=".restored-", dir=path.parent))
        try:
            for name, digest in files.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _restore_file(blobs, digest, target)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot restore an output: {error.strerror or error}", where=str(path)) from error


def _restore_file(blobs: BlobStore, digest: str, path: Path) -> None:
    try:
        blobs.holds(digest)  # so that the rule of retention does not remove it meanwhile
        blob = blobs.get(digest)
    except NotFound as error:
        raise DamagedOutput(error.message) from error
    handle, temporary = tempfile.mkstemp(prefix=".restored-", dir=path.parent)
    try:
        state = hashlib.sha256()
        with open(blob, "rb") as source, os.fdopen(handle, "wb") as target:
            while piece := source.read(_CHUNK):
                state.update(piece)
                target.write(piece)
        if state.hexdigest() != digest:
            with contextlib.suppress(OSError):
                os.replace(blob, blob.with_name(f"{blob.name}.damaged"))
            raise DamagedOutput(f"the blob {digest[:12]} is damaged")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = ""
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
