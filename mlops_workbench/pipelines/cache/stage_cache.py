"""The cache of stages: looks results up, checks that they still hold, and keeps new ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.capture.environment.distributions import Distributions
from mlops_workbench.core.reads import ProgramReads
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.changes import key_changes, reads_changes
from mlops_workbench.pipelines.cache.digests import FileDigests, names_digest
from mlops_workbench.pipelines.cache.entries import CacheEntries, Owner, StageKey, StageReads, StageResult
from mlops_workbench.pipelines.cache.outputs import keep_output, restore_output


@dataclass(frozen=True)
class Found:
    """Answer of a look-up.

    Attributes
    ----------
    result : StageResult or None
        A result that holds.
    reasons : list of str
        Without one: what has changed since the result that is nearest, one line each.
    """

    result: StageResult | None = None
    reasons: list[str] = field(default_factory=list)


class StageCache:
    """Results of the stages of a workspace.

    Parameters
    ----------
    workspace : Workspace
        Its state folder holds them.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._root = workspace.root
        self._blobs = workspace.blobs
        folder = workspace.state / "cache"
        self._entries = CacheEntries(folder)
        self.digests = FileDigests(folder / "digests.msgpack")

    def find(
        self,
        key: StageKey,
        notebook: Path,
        owner: Owner,
        *,
        ignore: Iterable[str] = (),
        ttl: float | None = None,
        now_ms: int = 0,
    ) -> Found:
        """Look up a result whose reads are still what they were.

        Parameters
        ----------
        key : StageKey
            The stage.
        notebook : Path
            The notebook, to whose folder some paths are relative.
        owner : tuple of str
            Pipeline and stage, whose other results tell what has changed.
        ignore : iterable of str
            ``packages``: versions of distributions are not compared.
        ttl : float, optional
            Seconds after which a result does not hold any more.
        now_ms : int
            The time, for `ttl`.
        """
        reasons: list[str] = []
        for result in self._entries.results(key):
            if ttl is not None and now_ms - result.ended_ms > ttl * 1000:
                reasons = reasons or [f"the result is older than {ttl:g} s"]
                continue
            now = self._present(result.reads, notebook.parent)
            changes = reads_changes(result.reads, now)
            if "packages" in ignore:
                changes = [change for change in changes if not change.startswith("package ")]
            if not changes:
                return Found(result)
            reasons = reasons or changes
        return Found(None, reasons or self._differences(key, owner))

    def _differences(self, key: StageKey, owner: Owner) -> list[str]:
        if refusal := self._entries.refusal(owner):
            return [f"its last result was not kept: {refusal}"]
        others = [key_changes(other, key) for other, _ in self._entries.recent(owner)]
        return min(others, key=len, default=["it has no result yet"])

    def refuse(self, owner: Owner, reason: str) -> None:
        """Note why the newest result of a stage is not kept; raises StorageError."""
        self._entries.refuse(owner, reason)

    def newest(self, owner: Owner) -> StageResult | None:
        """Return the result of a stage that was made or used last, whether it holds or not."""
        return next((results[0] for _, results in self._entries.recent(owner) if results), None)

    def used(self, key: StageKey, owner: Owner) -> None:
        """Note that a result under a key was used; raises StorageError."""
        self._entries.used(key, owner)

    def restore(self, result: StageResult, targets: Mapping[str, str]) -> None:
        """Write the outputs of a result to their paths.

        Raises
        ------
        DamagedOutput
            The stage has to run again.
        StorageError
            A path cannot be written.
        """
        for name, path in targets.items():
            restore_output(self._blobs, result.outputs[name], Path(path))

    def keep_outputs(self, targets: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Store the outputs of a stage; raises StorageError."""
        return {name: keep_output(self._blobs, Path(path)) for name, path in targets.items()}

    def restore_notebook(self, result: StageResult, path: Path) -> None:
        """Write the executed notebook of a result; raises like :meth:`restore`."""
        restore_output(self._blobs, {"": result.notebook}, path)

    def keep(self, key: StageKey, result: StageResult, owner: Owner) -> None:
        """Keep a result whose outputs are stored; raises StorageError."""
        self._entries.add(key, result, owner)

    def reads(
        self, reads: ProgramReads, notebook: Path, declared: Iterable[str], folders: Iterable[str] = ()
    ) -> tuple[StageReads | None, str]:
        """Return what a run has read beyond its declared inputs.

        Parameters
        ----------
        reads : ProgramReads
            What was observed.
        notebook : Path
            The notebook.
        declared : iterable of str
            Files and folders of inputs and outputs, and the notebook.
        folders : iterable of str
            Folders whose names are known otherwise, as those of a pattern.

        Returns
        -------
        reads : StageReads or None
            None if a file was changed after it was read, so that its content then is not known.
        reason : str
            Which file that was.
        """
        known = tuple(os.path.abspath(path) for path in declared)
        folders = frozenset(folders)
        files: dict[str, str] = {}
        modules: dict[str, str] = {}
        for file in reads.files:
            if file.path in known or file.path.startswith(tuple(path + os.sep for path in known)):
                continue
            if file.how == "missing":
                if os.path.lexists(file.path):
                    return None, f"{file.path} was made after it was looked for"
                files[self._portable(file.path, notebook.parent)] = ""
                continue
            try:
                status = os.stat(file.path)  # noqa: PTH116
                digest = self.digests.of(file.path)
            except OSError:
                return None, f"{file.path} was deleted after it was read"
            if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
                return None, f"{file.path} was changed after it was read"
            (modules if file.how == "module" else files)[self._portable(file.path, notebook.parent)] = digest
        listed = {
            self._portable(folder.path, notebook.parent): names_digest(folder.names)
            for folder in reads.folders
            if folder.path not in known and folder.path not in folders
        }
        return StageReads(files, modules, listed, reads.distributions, reads.unseen), ""

    def _present(self, reads: StageReads, folder: Path) -> StageReads:
        """The same files, folders and distributions as they are now."""
        # Read anew: a stage may have installed some.
        versions = Distributions().read().versions
        return StageReads(
            {name: self._digest(name, folder) for name in reads.files},
            {name: self._digest(name, folder) for name in reads.modules},
            {name: self._names(name, folder) for name in reads.folders},
            {name: versions[name] for name in reads.distributions if name in versions},
            reads.unseen,
        )

    def _digest(self, name: str, folder: Path) -> str:
        try:
            return self.digests.of(self._absolute(name, folder))
        except OSError:
            return ""

    def _names(self, name: str, folder: Path) -> str:
        try:
            return names_digest(os.listdir(self._absolute(name, folder)))  # noqa: PTH208
        except OSError:
            return ""

    def absolute(self, name: str, notebook: Path) -> str:
        """Return the path of a name in a result's reads."""
        return self._absolute(name, notebook.parent)

    def _portable(self, path: str, folder: Path) -> str:
        for word, base in (("notebook", folder), ("workspace", self._root)):
            if Path(path).is_relative_to(base):
                return f"{word}:{Path(path).relative_to(base)}"
        return path

    def _absolute(self, name: str, folder: Path) -> str:
        word, colon, rest = name.partition(":")
        bases = {"notebook": folder, "workspace": self._root}
        return str(bases[word] / rest) if colon and word in bases else name
