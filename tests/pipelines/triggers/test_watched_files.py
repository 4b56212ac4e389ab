"""A change of content counts, a change of times does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_workbench.pipelines.triggers.files import (
    ContentReader,
    WatchedFolder,
    difference,
    folders_of,
    look,
    watched_files,
)
from mlops_workbench.pipelines.triggers.mounts import file_system


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pipelines beside data, in a folder whose name looks like a pattern."""
    root = tmp_path / "a [b] ü"
    (root / "pipelines").mkdir(parents=True)
    (root / "data" / "raw" / "deep").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "c.txt", ".hidden.csv", "raw/d.csv", "raw/deep/e.csv"):
        (root / "data" / name).write_text(name)
    return root / "pipelines"


def names(folder: Path, *patterns: str) -> list[str]:
    return sorted(os.path.relpath(path, folder.parent / "data") for path in watched_files(folder, patterns))


def digest(folder: Path, reader: ContentReader, pattern: str) -> str:
    return reader.read(folder, watched_files(folder, [pattern])).digest


def test_files_folders_and_patterns_name_files(folder: Path) -> None:
    assert names(folder, "../data/*.csv") == ["a.csv", "b.csv"]
    assert names(folder, "../data/a.csv", "../data/none.csv") == ["a.csv"]
    assert names(folder, "../data/**/*.csv") == ["a.csv", "b.csv", "raw/d.csv", "raw/deep/e.csv"]
    assert names(folder, "../data/raw") == ["raw/d.csv", "raw/deep/e.csv"]
    assert names(folder, str(folder.parent / "data" / "raw")) == ["raw/d.csv", "raw/deep/e.csv"]
    assert names(folder, "../data/[ab].csv") == ["a.csv", "b.csv"]


def test_only_another_content_is_a_change(folder: Path) -> None:
    reader, file = ContentReader(), folder.parent / "data" / "a.csv"
    before = digest(folder, reader, "../data/*.csv")
    os.utime(file, (1, 1))
    assert digest(folder, reader, "../data/*.csv") == before
    replacement = file.with_name("new")
    replacement.write_text("a.csv")
    replacement.replace(file)
    assert digest(folder, reader, "../data/*.csv") == before
    # As large as before, and with the old times.
    facts = file.stat()
    file.write_text("A.csv")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    changed = digest(folder, reader, "../data/*.csv")
    assert changed != before
    file.rename(file.with_name("z.csv"))
    assert digest(folder, reader, "../data/*.csv") not in (before, changed)


def test_two_looks_must_find_the_same(folder: Path) -> None:
    first = look(folder, ["../data/*.csv"], None)
    assert not first.settled and look(folder, ["../data/*.csv"], first).settled
    (folder.parent / "data" / "a.csv").write_text("more and more")
    assert not look(folder, ["../data/*.csv"], first).settled


def test_a_folder_and_never_a_file_is_watched(folder: Path) -> None:
    data = folder.parent / "data"
    assert folders_of(folder, "../data/a.csv") == WatchedFolder(str(data), False)
    assert folders_of(folder, "../data/*.csv") == WatchedFolder(str(data), False)
    assert folders_of(folder, "../data/raw") == WatchedFolder(str(data / "raw"), True)
    assert folders_of(folder, "../data/**/*.csv") == WatchedFolder(str(data), True)
    assert folders_of(folder, "../data/none/yet/*.csv") == WatchedFolder(str(data), False)


def test_what_changed_is_named() -> None:
    before = {"a": "1", "b": "1", "c": "1"}
    assert difference(before, {"a": "2", "b": "1", "d": "1"}) == "changed: a; new: d; gone: c"
    assert difference({}, {str(number): "1" for number in range(9)}) == "new: 0, 1, 2 and 6 more"


MOUNTS = r"""
21 1 0:1 / / rw - ext4 /dev/sda1 rw
30 21 0:2 / /mnt/team\040data rw - nfs4 server:/x rw
31 30 0:3 / /mnt/team\040data/local rw - tmpfs tmpfs rw
32 21 0:4 / /mnt rw - ext4 /dev/sdb rw
"""


def test_the_file_system_of_a_path_is_that_of_the_deepest_mount() -> None:
    assert file_system("/mnt/team data/x.csv", MOUNTS) == "nfs4"
    assert file_system("/mnt/team data/local/x.csv", MOUNTS) == "tmpfs"
    assert file_system("/mnt/team database", MOUNTS) == "ext4"
    assert file_system("/home", MOUNTS) == "ext4" and file_system("/home", "") == ""
