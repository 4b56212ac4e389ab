"""What the cache holds: for each key the results found under it, each with what its run was seen to read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops_workbench.core.files import file_lock, write_atomic
from mlops_workbench.core.wire.json_numbers import JsonNumber

#: Results under a key, and keys of a stage that are remembered to say what has changed.
_MOST_RESULTS, _MOST_KEYS = 20, 20
#: A pipeline, and the name of an instance of one of its stages.
Owner = tuple[str, str]


class StageKey(msgspec.Struct, frozen=True):
    """What is known of a stage before it runs; its digest is the key of its results.

    Attributes
    ----------
    code : list of str
        Digests of the normal code of the cells.
    params : dict
        Parameters to the source of their values, which is exact.
    secrets : dict
        Parameters to the names of environment variables.
    inputs : dict
        Inputs to their digests.
    outputs : dict
        Outputs to type and path in the folder of the outputs.
    environment : dict
        Environment variables that the code names, to the digests of their values.
    python : str
        Version of Python, without the patch level.
    kernel : str
        Name of the kernel.
    """

    code: list[str]
    params: dict[str, str]
    secrets: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, tuple[str, str]]
    environment: dict[str, str]
    python: str
    kernel: str

    @property
    def digest(self) -> str:
        """Key of the results."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class StageReads(msgspec.Struct, frozen=True):
    """What a run read beyond its declared inputs.

    Paths begin with ``notebook:`` or ``workspace:`` when they are below that folder, which may be moved.

    Attributes
    ----------
    files, modules : dict
        Data and local modules to their digests; empty for a file that was looked for and not there.
    folders : dict
        Listed folders to the digests of their names.
    distributions : dict
        Imported distributions to their versions.
    unseen : list of str
        Why it may have read more.
    """

    files: dict[str, str] = {}
    modules: dict[str, str] = {}
    folders: dict[str, str] = {}
    distributions: dict[str, str] = {}
    unseen: list[str] = []


class StageResult(msgspec.Struct, frozen=True):
    """A result of a stage.

    Attributes
    ----------
    outputs : dict
        Outputs to the files in them (path below the output, empty for the output itself) and their blobs.
    metrics : dict
        Last values of the metrics of its run, as :func:`json_number` writes them.
    run_uid : str
        Run of the stage in the tracking store.
    run_id : str
        The pipeline run that it was made in.
    notebook : str
        Blob of the executed notebook.
    ended_ms, seconds : int, float
        When it was made, and how long that took.
    """

    reads: StageReads
    outputs: dict[str, dict[str, str]]
    metrics: dict[str, JsonNumber]
    run_uid: str
    run_id: str
    notebook: str
    ended_ms: int
    seconds: float


@dataclass(frozen=True)
class KeptEntry:
    """An entry as the rule of retention sees it: file, size, time of its last use, blobs and runs that it names."""

    path: Path
    size: int
    used_ms: int
    blobs: frozenset[str]
    run_uids: frozenset[str]


class _Entry(msgspec.Struct, frozen=True):
    key: StageKey
    results: list[StageResult]


class _Stage(msgspec.Struct, frozen=True):
    """Digests of the keys of a stage, that of the last used one first, and why its newest result was not kept."""

    keys: list[str]
    refusal: str = ""


_decoder = msgspec.json.Decoder(_Entry)
_stage_decoder = msgspec.json.Decoder(_Stage)


class CacheEntries:
    """Results by key, in a folder; each change is atomic, so that a kill leaves the old entry or the new one.

    Parameters
    ----------
    folder : Path
        Folder of the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def results(self, key: StageKey) -> list[StageResult]:
        """Return the results under a key, newest first; empty for a damaged entry, which the next result replaces."""
        entry = self._read(key.digest)
        return entry.results if entry is not None and entry.key == key else []

    def recent(self, owner: Owner) -> list[tuple[StageKey, list[StageResult]]]:
        """Return the keys of a stage with their results, the last used one first."""
        found = []
        for digest in self._stage(owner).keys:
            entry = self._read(digest)
            if entry is not None:
                found.append((entry.key, entry.results))
        return found

    def add(self, key: StageKey, result: StageResult, owner: Owner) -> None:
        """Add a result of a stage; one with the same reads is replaced.

        Raises
        ------
        StorageError
            The folder cannot be written.
        """
        path = self._path(key.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._folder / "lock"):
            others = [other for other in self.results(key) if other.reads != result.reads]
            write_atomic(path, msgspec.json.encode(_Entry(key, [result, *others][:_MOST_RESULTS])))
            self._remember(key, owner)

    def kept(self) -> list[KeptEntry]:
        """Return all entries; a damaged one names no blobs."""
        found = []
        for path in self._folder.glob("??/*.json"):
            with contextlib.suppress(FileNotFoundError):
                status, entry = path.stat(), self._read(path.stem)
                results = entry.results if entry is not None else []
                blobs = {digest for one in results for output in one.outputs.values() for digest in output.values()}
                blobs |= {one.notebook for one in results}
                uids = frozenset(one.run_uid for one in results)
                found.append(KeptEntry(path, status.st_size, int(status.st_mtime * 1000), frozenset(blobs), uids))
        return found

    def used(self, key: StageKey, owner: Owner) -> None:
        """Note that a result was used, for the rule of retention and for :meth:`recent`; raises StorageError."""
        with contextlib.suppress(OSError):
            os.utime(self._path(key.digest))
        if self._stage(owner) != _Stage([key.digest, *self._stage(owner).keys[1:]]):
            with file_lock(self._folder / "lock"):
                self._remember(key, owner)

    def refuse(self, owner: Owner, reason: str) -> None:
        """Note why the newest result of a stage was not kept; raises StorageError."""
        with file_lock(self._folder / "lock"):
            self._write(owner, _Stage(self._stage(owner).keys, reason))

    def refusal(self, owner: Owner) -> str:
        """Return why the newest result of a stage was not kept; empty if it was."""
        return self._stage(owner).refusal

    def _remember(self, key: StageKey, owner: Owner) -> None:
        others = [digest for digest in self._stage(owner).keys if digest != key.digest]
        self._write(owner, _Stage([key.digest, *others][:_MOST_KEYS]))

    def _write(self, owner: Owner, stage: _Stage) -> None:
        path = self._index(owner)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, msgspec.json.encode(stage))

    def _stage(self, owner: Owner) -> _Stage:
        try:
            return _stage_decoder.decode(self._index(owner).read_bytes())
        except (OSError, msgspec.DecodeError):
            return _Stage([])

    def _read(self, digest: str) -> _Entry | None:
        try:
            return _decoder.decode(self._path(digest).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def _index(self, owner: Owner) -> Path:
        return self._folder / "stages" / hashlib.sha256("\0".join(owner).encode()).hexdigest()

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.json"
