"""What the cache holds: for each key the results found under it, each with what its run was seen to read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from mlops_workbench.core.files import file_lock, write_atomic

_MOST_RESULTS = 20


class StageKey(msgspec.Struct, frozen=True):
    """What is known of a stage before it runs; its digest is the key of its results.

    Attributes
    ----------
    code : list of str
        Normal code, a text for each cell.
    params : dict
        Parameters to the source of their values, which is exact.
    secrets : dict
        Parameters to the names of environment variables.
    inputs : dict
        Inputs to their digests.
    outputs : dict
        Outputs to path and type.
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
        Data and local modules to their digests.
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
        Last values of the metrics of its run.
    run_uid : str
        Run that made it.
    notebook : str
        Blob of the executed notebook.
    ended_ms, seconds : int, float
        When it was made, and how long that took.
    """

    reads: StageReads
    outputs: dict[str, dict[str, str]]
    metrics: dict[str, float]
    run_uid: str
    notebook: str
    ended_ms: int
    seconds: float


class _Entry(msgspec.Struct, frozen=True):
    key: StageKey
    results: list[StageResult]


_decoder = msgspec.json.Decoder(_Entry)


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
        try:
            entry = _decoder.decode(self._path(key.digest).read_bytes())
        except (OSError, msgspec.DecodeError):
            return []
        return entry.results if entry.key == key else []

    def add(self, key: StageKey, result: StageResult) -> None:
        """Add a result; one with the same reads is replaced.

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

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.json"
