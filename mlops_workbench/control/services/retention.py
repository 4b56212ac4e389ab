"""Removal of what is older or larger than the rule in ``[retention]`` allows."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.monitors import MonitorService
from mlops_workbench.control.services.needed_data import needed_data
from mlops_workbench.control.services.old_files import (
    drop_snapshot_names,
    folder_size,
    log_files,
    remove_log_file,
)
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.files import disk_error, write_atomic
from mlops_workbench.core.ids import now_ms, short_id
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.retention import (
    FRESH_MS,
    Aged,
    Kept,
    Removal,
    RetentionPart,
    RetentionReport,
    Rule,
    Staying,
    StoredBlob,
    StoredRun,
    Verdict,
    aged_verdict,
    blob_verdicts,
    log_verdict,
    part,
)
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import CacheEntries, KeptEntry
from mlops_workbench.pipelines.runs.removal import removable_size, remove_files
from mlops_workbench.pipelines.sweep_service import trial_uids
from mlops_workbench.tracking import Ingest
from mlops_workbench.tracking.index.files_of_runs import RunFiles
from mlops_workbench.tracking.ingest.stored_files import drop_references, stored_files

#: Seconds between two applications of the rule, and until the first one.
_EVERY, _FIRST = 3600.0, 60.0
_KEPT, _WAITING = "of a kept run", "not in MLflow yet"
#: Problems that are reported of one kind.
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class _Kind:
    """One kind of things: what the rule says, the verdict, and how one of them is removed."""

    name: str
    rule: str
    verdict: Verdict
    remove: Callable[[Removal], object]


class RetentionService:
    """Applies the rule: shows what would be removed, and removes it, regularly if the rule sets a limit.

    Facts are read before each application. Each removal is a step of its own, so that an end of the process at any
    moment leaves only something more for the next application.
    """

    def __init__(
        self,
        workspace: Workspace,
        ingest: Ingest,
        models: ModelService,
        monitors: MonitorService,
        pipelines: PipelineService,
        runs: RunService,
    ) -> None:
        self._workspace = workspace
        self._ingest = ingest
        self._models = models
        self._monitors = monitors
        self._pipelines = pipelines
        self._runs = runs
        self._lock = threading.Lock()
        self._due = time.monotonic() + _FIRST

    def step(self) -> None:
        """Apply the rule when it is due."""
        if time.monotonic() < self._due or not self._rule().is_set:
            return
        report = self.apply()
        self._due = time.monotonic() + _EVERY
        if report.problems:
            raise StorageError(report.problems[0], hint="'mlops clean' shows what would be removed")

    def preview(self) -> RetentionReport:
        """What :meth:`apply` would remove now.

        Raises
        ------
        Unavailable
            It is not known what refers to files, because runs are still being read or MLflow does not answer.
        """
        with self._lock:
            now = now_ms()
            return self._report(now, self._kinds(now), removed=False, problems=[])

    def apply(self) -> RetentionReport:
        """Remove what the rule lets go, and files that nothing refers to.

        Raises
        ------
        Unavailable
            As for :meth:`preview`.
        """
        with self._lock:
            now = now_ms()
            self._workspace.blobs.settle(unused_since=(now - FRESH_MS) / 1000)
            problems: list[str] = []
            kinds = [self._removed(kind, problems) for kind in self._kinds(now)]
            drop_references(self._workspace)
            drop_snapshot_names(self._workspace)
            return self._report(now, kinds, removed=True, problems=problems)

    def keep(self, reference: str, *, kept: bool) -> Kept:
        """Keep the files of a run, and of its children, from the rule, or leave them to it again."""
        run = self._runs.find(reference)
        path = self._workspace.kept_runs / run.uid
        with self._lock:
            if kept:
                write_atomic(path, "")
            else:
                path.unlink(missing_ok=True)
        return Kept(run.uid, run.name, kept)

    def _removed(self, kind: _Kind, problems: list[str]) -> _Kind:
        done, failed = [], 0
        for removal in kind.verdict.removals:
            try:
                if kind.remove(removal) is not False:
                    done.append(removal)
            except (OSError, WorkbenchError) as error:
                failed += 1
                if failed <= _MOST_PROBLEMS:
                    problems.append(f"{kind.name}: {disk_error(error, self._workspace.state) or error}")
        if failed > _MOST_PROBLEMS:
            problems.append(f"{kind.name}: {failed - _MOST_PROBLEMS} more could not be removed")
        return replace(kind, verdict=replace(kind.verdict, removals=done))

    def _report(self, now: int, kinds: Iterable[_Kind], *, removed: bool, problems: list[str]) -> RetentionReport:
        parts = [part(kind.name, kind.rule, kind.verdict) for kind in kinds]
        return RetentionReport(now, removed, self._rule().is_set, [*parts, self._journals()], problems)

    def _journals(self) -> RetentionPart:
        days = self._workspace.settings.journal.keep_days
        count, size = folder_size(self._workspace.journal, ".mlj")
        rule = f"{days:g} days after they were delivered ([journal] keep_days)" if days else "always kept"
        staying = [Staying("removed when they are delivered", count, size)] if count else []
        return RetentionPart("journals", rule, 0, 0, staying=staying)

    def _rule(self) -> Rule:
        # Read anew: whoever sets a limit wants to see at once what it removes.
        found = Workspace.open(self._workspace.root).settings.retention
        return Rule(found.runs_days, found.failed_days, int(found.store_gb * 1e9), found.predictions_days)

    # Facts ------------------------------------------------------------------------------------------------------

    def _kinds(self, now: int) -> list[_Kind]:
        rule, workspace = self._rule(), self._workspace
        blobs = [StoredBlob(name, found.st_size, int(found.st_mtime * 1000)) for name, found in workspace.blobs.blobs()]
        files = stored_files(self._ingest)
        needed, unreadable = needed_data(workspace)
        if unreadable:
            needed |= {data: f"data that pipeline {unreadable[0]} may read" for run in files.runs for data in run.data}
        others = needed | dict.fromkeys(files.waiting, _WAITING)
        cached = CacheEntries(workspace.state / "cache").kept()
        pipeline_runs = self._pipelines.runs(sys.maxsize)
        held = self._held(files.runs, pipeline_runs)
        publishing = self._pipelines.publishing()
        # A result of a stage refers to files as a run does that ended when the result was last used.
        results = [
            StoredRun(entry.path.name, "result of a stage", entry.used_ms, False, entry.blobs) for entry in cached
        ]
        # What such a run has logged, as a model, is published with the result.
        used = {uid: entry.used_ms for entry in sorted(cached, key=lambda one: one.used_ms) for uid in entry.run_uids}
        runs = [self._stored(run, held, used.get(run.uid, 0)) for run in files.runs]
        of_runs, unreferenced = blob_verdicts(blobs, [*runs, *results], others, rule, now)
        folders = aged_verdict([self._aged(run, held) for run in pipeline_runs if run.id not in publishing], rule, now)
        counting = {
            report.spec.endpoint: "its monitor counts windows from the first answer"
            for report in self._monitors.reports()
            if report.spec.window.isdecimal()
        }
        by_days = _days(rule.predictions_days, "after they were written")
        before = (now - FRESH_MS) / 1000

        def remove_blob(removal: Removal) -> bool:
            return workspace.blobs.remove(removal.name, unused_since=before)

        kinds = [
            _Kind(
                name,
                by_days,
                log_verdict(log_files(folder, counting), rule.predictions_days, now),
                partial(_remove_log_file, folder),
            )
            for name, folder in (("predictions", workspace.predictions), ("feedback", workspace.feedback))
        ]
        return [
            *kinds,
            _Kind("notebooks and outputs of pipeline runs", _days_of(rule), folders, self._remove_folder),
            _Kind(
                "results of stages",
                _days(rule.runs_days, "after their last use"),
                _entry_verdict(cached, {blob.digest for blob in blobs}, rule, now),
                _remove_entry,
            ),
            _Kind("files of runs and results", _days_of(rule, size=True), of_runs, remove_blob),
            _Kind("files without a run", "one day after their last use", unreferenced, remove_blob),
        ]

    def _held(self, runs: Iterable[RunFiles], pipeline_runs: Iterable[PipelineRun]) -> dict[str, str]:
        """Why runs stay, by uid."""
        children: defaultdict[str, list[str]] = defaultdict(list)
        kept = []
        for run in runs:
            children[run.parent_uid].append(run.uid)
            if run.kept or (self._workspace.kept_runs / run.uid).exists():
                kept.append(run.uid)
        held: dict[str, str] = {}
        for pipeline_run in pipeline_runs:
            if pipeline_run.state in ("pending", "running"):
                held.update(dict.fromkeys(_uids(pipeline_run), "of an active run"))
        for model in self._models.models():
            for version in self._models.versions(model.name):
                held[version.run_uid] = "of a registered version"
        while kept:
            uid = kept.pop()
            if held.get(uid) != _KEPT:
                held[uid] = _KEPT
                kept += children[uid]
        return held

    def _stored(self, run: RunFiles, held: dict[str, str], used_ms: int) -> StoredRun:
        why = held.get(run.uid, "")
        if not why and run.blobs and (not run.run_id or self._ingest.log.has_deferred(run.uid)):
            why = _WAITING
        active = run.status == "RUNNING"
        title = f"{run.name or 'run'} {short_id(run.uid)}"
        ended = 0 if active else max(run.end_ms or run.start_ms, used_ms)
        return StoredRun(run.uid, title, ended, run.status in ("FAILED", "KILLED"), run.blobs, why)

    def _aged(self, run: PipelineRun, held: dict[str, str]) -> Aged:
        uids = [*_uids(run), *(trial_uids(self._workspace, run.id) if run.kind == "sweep" else ())]
        why = next((held[uid] for uid in uids if uid in held), "")
        if not run.pipeline:
            why = why or "its request cannot be read"
        active = run.state in ("pending", "running")
        size = 0 if active else removable_size(self._workspace.pipeline_runs / run.id)
        ended = 0 if active else run.end_ms or run.start_ms
        title = f"{run.pipeline} {short_id(run.id)}"
        return Aged(run.id, title, size, ended, run.state in ("failed", "cancelled"), why)

    def _remove_folder(self, removal: Removal) -> bool:
        # It may have been resumed since.
        if self._pipelines.run(removal.name).state in ("pending", "running"):
            return False
        remove_files(self._workspace.pipeline_runs / removal.name)
        return True


def _remove_log_file(folder: Path, removal: Removal) -> bool:
    return remove_log_file(folder, removal.name)


def _entry_verdict(entries: Sequence[KeptEntry], blobs: Container[str], rule: Rule, now: int) -> Verdict:
    """Entries of the cache go by the time of their last use, and when the rule has removed files of theirs."""
    whole = [entry for entry in entries if all(digest in blobs for digest in entry.blobs)]
    broken = [entry for entry in entries if entry not in whole and entry.used_ms < now - FRESH_MS]
    title = "result of a stage"
    verdict = aged_verdict([Aged(str(one.path), title, one.size, one.used_ms) for one in whole], rule, now)
    removals = [Removal(str(one.path), title, one.size, "its files were removed") for one in broken]
    return replace(verdict, removals=[*verdict.removals, *removals])


def _remove_entry(removal: Removal) -> None:
    Path(removal.name).unlink(missing_ok=True)


def _uids(run: PipelineRun) -> list[str]:
    return [uid for uid in (run.run_uid, *(stage.run_uid for stage in run.stages)) if uid]


def _days(days: float, since: str) -> str:
    return f"{days:g} {'day' if days == 1 else 'days'} {since}" if days else "always kept"


def _days_of(rule: Rule, *, size: bool = False) -> str:
    texts = [_days(rule.runs_days, "after the end of the run")] if rule.runs_days or not rule.failed_days else []
    if rule.failed_days:
        texts.append(_days(rule.failed_days, "if it failed or was stopped"))
    if size and rule.store_bytes:
        texts.append(f"at most {rule.store_bytes / 1e9:g} GB")
    return "; ".join(texts)
