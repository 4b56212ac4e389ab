"""Data in files: the digest of a file or folder, and tables from Parquet or CSV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128

from mlops_workbench.core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 1 << 20
#: Read speed of a disk.
_BYTES_PER_SECOND = 0.5e9
_BLOCKS = 128
#: Largest files that are profiled.
PROFILED_BYTES = 64 << 20
_TABLES = (".parquet", ".csv")


def digest_path(path: Path, seconds: float = float("inf")) -> tuple[str, str, int]:
    """Return the digest of a file, or of all files in a folder with their names.

    Parameters
    ----------
    path : Path
        File or folder; hidden files in a folder are ignored.
    seconds : float
        Approximate time limit; larger files are digested by their size and evenly spaced blocks.

    Returns
    -------
    digest : str
        32 hexadecimal digits; for a file the XXH3-128 of its bytes.
    covers : {"content", "sampled"}
        What was read.
    size : int
        Bytes.

    Raises
    ------
    InvalidInput
        The file cannot be read.
    """
    try:
        files = _files(path)
        sizes = [file.stat().st_size for file in files]
        share = seconds * _BYTES_PER_SECOND / max(1, sum(sizes))
        digests = [_digest_file(file, size, share) for file, size in zip(files, sizes, strict=True)]
    except OSError as error:
        raise InvalidInput(
            f"the file cannot be read: {error.strerror or error}", where=str(path), hint="pass an existing file"
        ) from error
    covers = "content" if share >= 1 else "sampled"
    if not path.is_dir():
        return digests[0], covers, sizes[0]
    state = xxh3_128(b"folder")
    for file, digest in zip(files, digests, strict=True):
        state.update(f"{file.relative_to(path).as_posix()}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return state.hexdigest(), covers, sum(sizes)


def path_seconds(path: Path) -> float:
    """Estimate the time of the digest in seconds; 0 for a file that cannot be read."""
    try:
        return sum(file.stat().st_size for file in _files(path)) / _BYTES_PER_SECOND
    except OSError:
        return 0.0


def as_path(word: str) -> Path | None:
    """Return the path of a folder, or of a file with a table; None for other text."""
    path = Path(word)
    try:
        return path if (path.suffix.lower() in _TABLES and path.is_file()) or path.is_dir() else None
    except OSError:
        # The text is too long for a file name.
        return None


def read_file(path: Path) -> pd.DataFrame:
    """Read a Parquet file or folder, or a CSV file, as a DataFrame.

    Raises
    ------
    InvalidInput
        The file cannot be read as a table.
    """
    import pandas as pd

    try:
        parquet = path.is_dir() or path.suffix.lower() == ".parquet"
        return pd.read_parquet(path) if parquet else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"cannot be read as a table: {error}", where=str(path)) from error


def read_path(path: Path) -> Any:
    """Read a Parquet file or folder, or a CSV file, as a pyarrow Table; None for other, broken or large files."""
    files, suffixes = _files(path), (".parquet",) if path.is_dir() else _TABLES
    if not any(file.suffix.lower() in suffixes for file in files):
        return None
    if sum(file.stat().st_size for file in files) > PROFILED_BYTES:
        return None
    import pyarrow as pa

    try:
        return read_arrow(path)
    except (pa.ArrowException, OSError, ValueError):
        # The digest of the file is its version, with or without columns.
        return None


def read_arrow(path: Path) -> Any:
    """Read a Parquet file or folder, or a CSV file, as a pyarrow Table.

    Raises
    ------
    ValueError
        It is neither; or what pyarrow raises.
    """
    suffix = ".parquet" if path.is_dir() else path.suffix.lower()
    if suffix == ".csv":
        from pyarrow import csv

        return csv.read_csv(path)
    if suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path)
    raise ValueError(f"{path.name} is neither Parquet nor CSV")


def parquet_size(path: Path) -> tuple[int, int] | None:
    """Return the number of rows and columns of a Parquet file of any size; None for other files."""
    if path.is_dir() or path.suffix.lower() != ".parquet":
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            return file.metadata.num_rows, file.metadata.num_columns
    except (pa.ArrowException, OSError):
        return None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
    return found


def _digest_file(path: Path, size: int, share: float) -> str:
    state = xxh3_128()
    with open(path, "rb") as file:
        if share >= 1 or size <= _BLOCKS * _PIECE // 16:
            while piece := file.read(_PIECE):
                state.update(piece)
        else:
            block = max(4096, int(size * share) // _BLOCKS)
            state.update(f"sampled {size} {block}".encode())
            for i in range(_BLOCKS):
                file.seek((size - block) * i // (_BLOCKS - 1))
                state.update(file.read(block))
    return state.hexdigest()
