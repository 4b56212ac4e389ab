"""Reading and writing of files and URLs."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from mlops_workbench.core.errors import NotFound, StorageError, WorkbenchError
from mlops_workbench.core.files import atomic_file


def is_url(path: str) -> bool:
    """Whether a path is the URL of another store than the file system."""
    return "://" in path and not path.startswith("file://")


def local(path: str) -> Path:
    """Return a path of the file system."""
    return Path(path.removeprefix("file://")).expanduser()


def open_to_read(name: str, path: str) -> BinaryIO:
    """Open a file, or the content of a URL in memory.

    Raises
    ------
    NotFound
        It does not exist.
    StorageError
        It cannot be read.
    """
    if is_url(path):
        return io.BytesIO(_download(name, path))
    try:
        return cast(BinaryIO, open(local(path), "rb"))
    except FileNotFoundError:
        raise missing(name, path) from None
    except OSError as error:
        raise StorageError(f"'{name}' cannot be read: {error.strerror or error}", where=path) from error


def missing(name: str, path: str) -> NotFound:
    """Return the error for a file that does not exist."""
    where = path if is_url(path) or local(path).is_absolute() else f"{path} (in {Path.cwd()})"
    return NotFound(
        f"the file of '{name}' does not exist",
        where=where,
        hint=f"run the notebook that writes it, or correct the path of '{name}'",
    )


@contextlib.contextmanager
def writing(name: str, path: str) -> Iterator[Path]:
    """Yield the path of a temporary file, which becomes the file when it is complete.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    if not is_url(path):
        with atomic_file(local(path)) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="mlops-save-") as folder:
        file = Path(folder) / "value"
        yield file
        try:
            _file_system(path).put_file(os.fspath(file), path)
        except Exception as error:
            raise _refused(name, path, "written", error) from error


def _download(name: str, path: str) -> bytes:
    try:
        content: bytes = _file_system(path).cat_file(path)
    except FileNotFoundError:
        raise missing(name, path) from None
    except WorkbenchError:
        raise
    except Exception as error:
        raise _refused(name, path, "read", error) from error
    return content


def _file_system(path: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(path)[0]


def _refused(name: str, path: str, done: str, error: Exception) -> StorageError:
    # Drivers of stores raise errors of their own; a missing driver is an ImportError that names the package.
    return StorageError(f"'{name}' cannot be {done}: {type(error).__name__}: {error}", where=path)
