"""References to files of the store in journals that were deleted: the read index may be rebuilt without them.

The folder has a JSON file for each such journal, with the digests of each run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.tracking.journals.files import Cursor, read_batch

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class References(msgspec.Struct, frozen=True):
    """Digests by run, and when the journal was last written, in milliseconds since the epoch."""

    at_ms: int
    runs: dict[str, list[str]]


def digests_in(content: bytes) -> set[str]:
    """All digests of files of the store that a record or a file names, and possibly more."""
    return {found.decode() for found in _DIGEST.findall(content)}


def read_journal(path: Path, cursor: Cursor | None = None) -> dict[str, set[str]]:
    """Digests in the records of a journal after `cursor`, by run; those of no run have an empty uid."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    at = cursor or Cursor()
    while True:
        batch = read_batch(path, at)
        for entry in batch.entries:
            if digests := digests_in(entry.payload):
                found[getattr(entry.record, "run_uid", "")].update(digests)
        if batch.exhausted:
            return dict(found)
        at = batch.cursor


def keep_references(path: Path, folder: Path) -> None:
    """Write what a journal refers to, before it is deleted.

    Raises
    ------
    StorageError
        The file cannot be written.
    OSError
        The journal cannot be read.
    """
    if found := read_journal(path):
        runs = {uid: sorted(digests) for uid, digests in found.items()}
        at_ms = int(path.stat().st_mtime * 1000)
        write_atomic(folder / f"{path.name}.json", msgspec.json.encode(References(at_ms, runs)))


def kept_references(folder: Path) -> dict[Path, References]:
    """References of deleted journals by file.

    Raises
    ------
    StorageError
        A file cannot be read.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path] = msgspec.json.decode(path.read_bytes(), type=References)
        except (OSError, msgspec.DecodeError) as error:
            raise StorageError(
                f"the references of a deleted journal cannot be read: {error}",
                where=str(path),
                hint="restore the file from a copy; if there is none, delete it: files of its runs may be removed then",
            ) from error
    return found
