"""Snapshots: data as Parquet in the content-addressed store, written once per version."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput, StorageError, WorkbenchError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.conversion import from_arrow, refused, to_arrow
from mlops_workbench.data.digest import Digest, digest_data
from mlops_workbench.data.tables.kinds import kind_of

#: Largest snapshots that are also delivered to MLflow as artifacts.
ARTIFACT_BYTES = 32 << 20
#: Kinds of data that their owner may change after they were written.
_CHANGEABLE = ("frame", "series", "array", "sparse")


def keep_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> tuple[str, int]:
    """Write data to the store as Parquet, unless the store has this version; see `write_snapshot`.

    Returns
    -------
    blob : str
        Digest of the Parquet file.
    size : int
        Bytes.
    """
    written = write_snapshot(workspace, data, digest, covers)
    return written.keep() if isinstance(written, WrittenSnapshot) else written


def write_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> WrittenSnapshot | tuple[str, int]:
    """Write data to a temporary Parquet file, from which `WrittenSnapshot.keep` makes the snapshot.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the store.
    data : table, or path of a Parquet or CSV file
        The data; pyarrow is imported.
    digest, covers : str
        Its version. Snapshots are reused only for digests of the whole content.

    Returns
    -------
    WrittenSnapshot or tuple of str and int
        Blob and size if the store has this version.

    Raises
    ------
    InvalidInput
        The data cannot be written as Parquet.
    StorageError
        The file cannot be written.
    """
    known = workspace.state / "snapshots" / digest
    if covers == "content":
        try:
            blob = known.read_text().strip()
            if workspace.blobs.holds(blob):
                return blob, workspace.blobs.path(blob).stat().st_size
        except OSError:
            pass  # There is no snapshot, or it was deleted.
    table = to_arrow(data)
    try:
        # The caller may change the data from now on. Arrow's tables do not change.
        put = digest_data(data) if kind_of(data) in _CHANGEABLE else table
        return WrittenSnapshot(workspace, table, put, known if covers == "content" else None)
    except OSError as error:
        raise _unwritten(workspace, error) from error
    except Exception as error:  # pyarrow's, and those of objects in the data
        raise refused(error) from error


class WrittenSnapshot:
    """Data in a temporary Parquet file, which `keep` removes.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the store.
    table : pyarrow.Table
        The data.
    put : Digest or pyarrow.Table
        What must be read back.
    known : Path or None
        File that names the blob of this version.
    """

    def __init__(self, workspace: Workspace, table: Any, put: Digest | Any, known: Path | None) -> None:
        from pyarrow import parquet

        self._workspace = workspace
        self._put = put
        self._known = known
        # Not a TemporaryDirectory: a forked child that ends would remove it.
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-snapshot-"))
        self._file = self._folder / "data.parquet"
        try:
            parquet.write_table(table, self._file, compression="zstd")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def keep(self) -> tuple[str, int]:
        """Compare what is read back with what was put in, and put the file into the store.

        Returns
        -------
        blob : str
            Digest of the Parquet file.
        size : int
            Bytes.

        Raises
        ------
        InvalidInput
            What is read back is not the same.
        StorageError
            The file cannot be stored.
        """
        from pyarrow import parquet

        try:
            compare_with(self._put, parquet.read_table(self._file))
            blob, size = self._workspace.blobs.put_file(self._file), self._file.stat().st_size
            if self._known is not None:
                self._known.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self._known, blob + "\n")
        except WorkbenchError:
            raise
        except OSError as error:
            raise _unwritten(self._workspace, error) from error
        except Exception as error:  # pyarrow's and pandas'
            raise refused(error) from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return blob, size


def compare_with(expected: Digest | Any, read: Any) -> None:
    """Compare what was read from a file with what was written: Arrow converts what it has no type for.

    Parameters
    ----------
    expected : Digest or pyarrow.Table
        What was written.
    read : pyarrow.Table
        What was read.

    Raises
    ------
    InvalidInput
        The file does not give the data back.
    """
    if isinstance(expected, Digest):
        put, got = expected, digest_data(from_arrow(read))
    else:
        # Parquet has fewer units of time.
        put, got = digest_data(expected), digest_data(read.cast(expected.schema))
    if put.hex != got.hex or put.covers != "content":
        different = [name for name, digest in put.columns.items() if got.columns.get(name) != digest]
        where = f" in {', '.join(map(repr, different[:3]))}" if different else ""
        raise InvalidInput(
            f"the data cannot be saved as Parquet: what is read back differs{where}",
            hint="give each column values of one type that Parquet has: no dicts with different keys, tuples, or times"
            " of different zones",
        )


def _unwritten(workspace: Workspace, error: OSError) -> StorageError:
    return StorageError(f"the snapshot cannot be written: {error.strerror or error}", where=str(workspace.state))


def read_snapshot(parquet: bytes) -> Any:
    """Return the data in a snapshot."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    return from_arrow(pq.read_table(pa.BufferReader(parquet)))
