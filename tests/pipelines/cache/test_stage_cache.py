"""A result is found again only while everything it was made from is the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mlops_workbench.capture.environment.distributions import Distributions
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.reads import FileRead, FolderRead, ProgramReads
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.changes import key_changes
from mlops_workbench.pipelines.cache.digests import FileDigests
from mlops_workbench.pipelines.cache.entries import StageKey, StageResult
from mlops_workbench.pipelines.cache.outputs import DamagedOutput
from mlops_workbench.pipelines.cache.stage_cache import StageCache

KEY = StageKey(
    ["code"], {"x": "1"}, {"token": "API"}, {"raw": "d"}, {"out": ("file", "out.txt")}, {"A": "e"}, "3.11", "python3"
)
OWNER = ("pipeline", "train")
NEVER = ["it has no result yet"]


def read(path: Path, how: str = "open") -> FileRead:
    status = path.stat()
    return FileRead(str(path), status.st_size, status.st_mtime_ns, how)  # type: ignore[arg-type]


class Example:
    """A workspace with a notebook's folder, a kept result and what it read."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = workspace.root / "notebooks"
        (self.folder / "data").mkdir(parents=True)
        self.notebook = self.folder / "train.ipynb"
        self.data = self.folder / "data" / "a.csv"
        self.module = workspace.root / "helpers.py"
        self.outside = workspace.root.parent / "outside.csv"
        for path in (self.data, self.module, self.outside):
            path.write_text("1\n")
        self.output = workspace.state / "outputs" / "out.txt"
        self.output.parent.mkdir()
        self.output.write_text("result")
        self.reads = ProgramReads(
            [read(self.data), read(self.module, "module"), read(self.outside)],
            [FolderRead(str(self.folder / "data"), ["a.csv"])],
            {"numpy": self.version("numpy")},
        )

    def version(self, name: str) -> str:
        return Distributions().read().versions[name]

    def keep(self, key: StageKey = KEY) -> StageResult:
        cache = StageCache(self.workspace)
        found, reason = cache.reads(self.reads, self.notebook, [])
        assert found is not None, reason
        outputs = cache.keep_outputs({"out": str(self.output)})
        result = StageResult(found, outputs, {"mae": 1.5, "r2": "NaN"}, "1" * 32, "2" * 32, "", 1_000, 2.0)
        cache.keep(key, result, OWNER)
        cache.digests.save()
        return result

    def find(self, key: StageKey = KEY, **options: object) -> object:
        found = StageCache(self.workspace).find(key, self.notebook, OWNER, **options)  # type: ignore[arg-type]
        return found.result or found.reasons


@pytest.fixture
def example(workspace: Workspace) -> Example:
    return Example(workspace)


def test_a_result_is_found_while_nothing_changed(example: Example) -> None:
    assert example.find() == NEVER
    result = example.keep()
    assert example.find() == result
    os.utime(example.data, (1, 1))
    (example.folder / "train.ipynb").write_text("{}")
    for name in (".ipynb_checkpoints", "__pycache__"):
        (example.folder / "data" / name).mkdir()
    assert example.find() == result


def set_back(path: Path, text: str) -> None:
    """Change a file and set its times back, as some tools do."""
    status = path.stat()
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e.data.write_text("2\n"), "data/a.csv has changed"),
        (lambda e: set_back(e.data, "2\n"), "data/a.csv has changed"),
        (lambda e: e.data.unlink(), "data/a.csv has gone"),
        (lambda e: e.module.write_text("2\n"), "the module helpers.py has changed"),
        (lambda e: e.outside.write_text("2\n"), "outside.csv has changed"),
        (lambda e: (e.folder / "data" / "b.csv").write_text(""), "the folder data has other files"),
    ],
)
def test_a_change_of_what_it_read_is_a_miss_with_its_reason(
    example: Example, change: Callable[[Example], object], reason: str
) -> None:
    result = example.keep()
    assert example.find() == result
    change(example)
    found = example.find()
    assert isinstance(found, list)
    assert reason in " ".join(found)


def test_other_versions_of_packages_are_a_miss_unless_ignored(example: Example) -> None:
    example.reads = msgspec.structs.replace(example.reads, distributions={"numpy": "0.1", "gone": "1"})
    result = example.keep()
    found = example.find()
    assert isinstance(found, list)
    assert found == [f"package numpy: 0.1 -> {example.version('numpy')}", "package gone: 1 -> none"]
    assert example.find(ignore=["packages"]) == result


def test_a_result_of_an_earlier_state_is_found_when_it_is_back(example: Example) -> None:
    first = example.keep()
    example.data.write_text("2\n")
    example.reads = msgspec.structs.replace(example.reads, files=[read(example.data), *example.reads.files[1:]])
    second = example.keep()
    assert example.find() == second
    example.data.write_text("1\n")
    assert example.find() == first


def test_a_moved_workspace_has_the_same_results(example: Example, tmp_path: Path) -> None:
    example.keep()
    moved = tmp_path / "elsewhere"
    shutil.move(example.workspace.root, moved)
    found = StageCache(Workspace.open(moved)).find(KEY, moved / "notebooks" / "train.ipynb", OWNER)
    assert found.result is not None


def test_an_old_result_does_not_hold_with_a_time_to_live(example: Example) -> None:
    result = example.keep()
    assert example.find(ttl=10.0, now_ms=11_000) == result
    assert example.find(ttl=10.0, now_ms=11_001) == ["the result is older than 10 s"]


def test_a_file_that_changed_after_it_was_read_keeps_no_result(example: Example) -> None:
    example.data.write_text("changed by the stage itself")
    found, reason = StageCache(example.workspace).reads(example.reads, example.notebook, [])
    assert found is None
    assert "a.csv was changed after it was read" in reason


@pytest.mark.parametrize(
    "change",
    [
        {"code": ["other"]}, {"params": {"x": "1.0"}}, {"params": {}}, {"secrets": {}}, {"inputs": {"raw": "e"}},
        {"outputs": {"out": ("json", "out.txt")}}, {"environment": {"A": "f"}}, {"python": "3.12"}, {"kernel": "other"},
    ],
)  # fmt: skip
def test_every_part_of_the_key_counts(example: Example, change: dict[str, object]) -> None:
    example.keep()
    other = msgspec.structs.replace(KEY, **change)
    assert example.find(other) == key_changes(KEY, other)
    assert len(key_changes(KEY, other)) == 1


def test_outputs_are_restored_whole_and_damage_is_noticed(example: Example, tmp_path: Path) -> None:
    folder = example.output.parent / "parts"
    (folder / "deep").mkdir(parents=True)
    (folder / "1.txt").write_text("one")
    (folder / "deep" / "2.txt").write_text("two")
    cache = StageCache(example.workspace)
    outputs = cache.keep_outputs({"out": str(example.output), "parts": str(folder)})
    result = msgspec.structs.replace(example.keep(), outputs=outputs)
    targets = {"out": str(tmp_path / "new" / "out.txt"), "parts": str(tmp_path / "new" / "parts")}
    (tmp_path / "new" / "parts").mkdir(parents=True)
    (tmp_path / "new" / "parts" / "old").write_text("")
    cache.restore(result, targets)
    assert (tmp_path / "new" / "out.txt").read_text() == "result"
    assert {
        str(p.relative_to(tmp_path / "new" / "parts")): p.read_text()
        for p in (tmp_path / "new" / "parts").rglob("*.txt")
    } == {
        "1.txt": "one",
        "deep/2.txt": "two",
    }
    assert not (tmp_path / "new" / "parts" / "old").exists()
    (tmp_path / "new" / "out.txt").write_text("edited by its user")
    cache.restore(result, targets)
    assert (tmp_path / "new" / "out.txt").read_text() == "result"

    blob = example.workspace.blobs.path(outputs["out"][""])
    blob.chmod(0o644)
    blob.write_text("damage")
    blob.chmod(0o444)
    with pytest.raises(DamagedOutput):
        cache.restore(result, targets)
    assert (tmp_path / "new" / "out.txt").read_text() == "result"
    assert cache.keep_outputs({"out": str(example.output)}) == {"out": outputs["out"]}
    cache.restore(result, targets)


def test_damaged_files_of_the_cache_are_no_results(example: Example) -> None:
    result = example.keep()
    for path in (example.workspace.state / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-5])
    assert example.find() == NEVER
    example.keep()
    assert example.find() == result


def test_digests_that_cannot_be_remembered_are_a_problem_of_the_disk(tmp_path: Path) -> None:
    digests = FileDigests(tmp_path / "digests")
    digests._new["file"] = ((0, 0, 0, 0, 0), "d")
    (tmp_path / "digests.lock").mkdir()
    with pytest.raises(StorageError, match="cannot write digests"):
        digests.save()
