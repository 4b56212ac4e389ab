"""Everything that refers to files of the store: runs of the read index, and journals."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.index.files_of_runs import RunFiles, files_of_runs
from mlops_workbench.tracking.ingest.ingest import Ingest
from mlops_workbench.tracking.journals.files import Cursor, journal_files
from mlops_workbench.tracking.journals.references import digests_in, kept_references, read_journal

_CATCH_UP_SECONDS = 30.0


@dataclass(frozen=True)
class StoredFiles:
    """Runs with their files, and digests of files that are not in MLflow yet."""

    runs: list[RunFiles]
    waiting: set[str]


def stored_files(ingest: Ingest) -> StoredFiles:
    """Find all references, as of a moment during the call.

    Raises
    ------
    Unavailable
        The index lacks runs, because the newest records or the runs of MLflow are still being read, or MLflow does
        not answer.
    StorageError
        The references of a deleted journal cannot be read.
    """
    # The background job that reads the runs of MLflow begins when no request waits, as this one may do.
    current = ingest.catch_up(_CATCH_UP_SECONDS) and ingest.restore(_CATCH_UP_SECONDS)
    # The journals first: what is delivered meanwhile is in the index.
    waiting: set[str] = set()
    delivered = ingest.log.cursors()
    for file in journal_files(ingest.workspace.journal):
        for digests in read_journal(file.path, delivered.get(file.name, Cursor())).values():
            waiting |= digests
    for uid in ingest.log.runs_with_held_files():
        for record in ingest.log.held_files(uid):
            waiting |= digests_in(record.payload)
    found = files_of_runs(ingest.index.path) if current else None
    if found is None:
        raise Unavailable(
            "not all runs are read yet, so that it is not known which files they refer to",
            where=str(ingest.index.path),
            hint="try again when 'mlops status' shows that delivery is up to date",
        )
    runs = {run.uid: run for run in found}
    for references in kept_references(ingest.workspace.references).values():
        for uid, digests in references.runs.items():
            run = runs.get(uid)
            if run is None:
                at_ms = references.at_ms
                run = RunFiles(uid, "unknown", "", "", "FINISHED", at_ms, at_ms, "", False, frozenset())
            runs[uid] = replace(run, blobs=run.blobs | set(digests))
    return StoredFiles(list(runs.values()), waiting)


def drop_references(workspace: Workspace) -> None:
    """Delete the references of deleted journals of which no file is left."""
    blobs = workspace.blobs
    for path, references in kept_references(workspace.references).items():
        if not any(blobs.path(digest).exists() for digests in references.runs.values() for digest in digests):
            path.unlink(missing_ok=True)
