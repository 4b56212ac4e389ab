"""Files that a trigger watches: which there are, and whether their content changed."""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

#: A file is read again while it is this new: a second change within the resolution of its times would look like none.
_NEW_SECONDS = 2.0
#: Names that a message lists.
_MOST_NAMES = 3


class Facts(NamedTuple):
    """What a look at a file without reading it says; another content has other facts."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def watched_files(folder: Path, patterns: Iterable[str]) -> dict[str, Facts]:
    """Files that match patterns, by path; a folder stands for all files below it. Hidden ones do not count.

    Parameters
    ----------
    folder : Path
        What relative patterns are relative to.
    patterns : iterable of str
        Paths, and glob patterns of files with ``**`` for any number of folders.
    """
    found: dict[str, Facts] = {}
    for pattern in patterns:
        for path in _matches(folder, pattern):
            try:
                facts = path.stat()
            except OSError:  # it is gone, or a link to nowhere
                continue
            found[str(path)] = Facts(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    return found


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    path = Path(os.path.normpath(folder / pattern))
    if path.is_dir():
        for below, folders, files in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(below, name) for name in files if not name.startswith("."))
    elif path.is_file():
        yield path
    elif glob.has_magic(pattern):
        # Path.glob finds hidden files, too.
        found = glob.iglob(os.path.normpath(pattern), root_dir=folder, recursive=True)  # noqa: PTH207
        paths = (Path(os.path.normpath(folder / name)) for name in found)
        yield from (name for name in paths if name.is_file())


@dataclass(frozen=True)
class Content:
    """The content of several files: a digest of all of them, and of each by its path."""

    digest: str
    files: Mapping[str, str] = field(default_factory=dict)


class ContentReader:
    """Digests of files; one whose facts are the same is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Facts, str]] = {}

    def read(self, folder: Path, files: Mapping[str, Facts]) -> Content:
        """Digest of files by their paths relative to `folder`; the time of a file does not count.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        digests = {os.path.relpath(path, folder): self._digest(path, facts) for path, facts in sorted(files.items())}
        total = hashlib.sha256()
        for name, digest in digests.items():
            total.update(f"{digest} {name}\n".encode(errors="surrogateescape"))
        return Content(total.hexdigest(), digests)

    def _digest(self, path: str, facts: Facts) -> str:
        known = self._known.get(path)
        if known is not None and known[0] == facts:
            return known[1]
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - max(facts.modified_ns, facts.changed_ns) > _NEW_SECONDS * 1e9:
            self._known[path] = (facts, digest)
        return digest


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What changed between two contents, for people."""
    parts = []
    kinds = {
        "changed": [name for name, digest in after.items() if name in before and before[name] != digest],
        "new": [name for name in after if name not in before],
        "gone": [name for name in before if name not in after],
    }
    for word, names in kinds.items():
        if names:
            shown = ", ".join(names[:_MOST_NAMES])
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            parts.append(f"{word}: {shown}{more}")
    return "; ".join(parts)


class Look(NamedTuple):
    """State of the observation of a trigger's files between two looks."""

    files: Mapping[str, Facts]
    settled: bool


def look(folder: Path, patterns: Iterable[str], previous: Look | None) -> Look:
    """Look at files: they have settled when two looks find the same."""
    files = watched_files(folder, patterns)
    return Look(files, previous is not None and previous.files == files)


class WatchedFolder(NamedTuple):
    """A folder whose events hint at changes of the files of a pattern."""

    path: str
    recursive: bool


def folders_of(folder: Path, pattern: str) -> WatchedFolder:
    """The deepest folder that exists and holds all files of a pattern.

    A folder and not a file, since a watched file is lost when it is replaced.
    """
    full = Path(os.path.normpath(folder / pattern))
    base, deep = full, True
    if not full.is_dir() and glob.has_magic(pattern):
        parts = Path(os.path.normpath(pattern)).parts
        first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        base, deep = Path(os.path.normpath(folder / Path(*parts[:first]))), first < len(parts) - 1
    elif not full.is_dir():
        base, deep = full.parent, False
    while not base.is_dir():
        # Until it is made, its parent shows that.
        base, deep = base.parent, False
    return WatchedFolder(str(base), deep)
