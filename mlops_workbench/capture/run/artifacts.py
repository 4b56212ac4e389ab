"""Paths, contents and media types of artifacts."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlops_workbench.core.errors import InvalidInput

#: Extensions that may be missing in the system's table.
_MEDIA_TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".md": "text/markdown",
    ".py": "text/x-python",
    ".toml": "application/toml",
    ".log": "text/plain",
}
_PLOTLY = "application/vnd.plotly.v1+json"


def read_artifact(source: str | os.PathLike[str] | bytes, name: str) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the path under the run and the content of each file of `source`.

    Raises
    ------
    InvalidInput
        The file does not exist, bytes have no name, or the path is outside of the run.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        if not name:
            raise InvalidInput("bytes need a name", hint="log_artifact(data, 'report.html')")
        yield artifact_path(name), bytes(source)
        return
    try:
        path = Path(source).expanduser()
    except TypeError:
        raise InvalidInput(
            f"an artifact must be a file or bytes, not {type(source).__name__}",
            hint="use log_figure for figures, log_model for models, log_dataset for tables",
        ) from None
    if path.is_file():
        yield artifact_path(name or path.name), path
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                relative = file.relative_to(path).as_posix()
                yield artifact_path(f"{name or path.resolve().name}/{relative}"), file
    else:
        raise InvalidInput("the file does not exist", where=str(path), hint=f"the working folder is {Path.cwd()}")


def artifact_path(name: str) -> str:
    """Return `name` as a relative path with forward slashes.

    Raises
    ------
    InvalidInput
        The path is absolute, empty, or outside of the run.
    """
    path = PurePosixPath(str(name).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\x00" in str(path):
        raise InvalidInput(f"{name!r} is not a valid artifact path", hint="use a relative path like 'plots/roc.png'")
    return str(path)


def media_type_of(path: str) -> str:
    """Return the media type for the extension of a file name."""
    lower = path.lower()
    if lower.endswith(".plotly.json"):
        return _PLOTLY
    known = _MEDIA_TYPES.get(PurePosixPath(lower).suffix)
    return known or mimetypes.guess_type(lower)[0] or "application/octet-stream"
