"""What the process of a stage keeps for the cache after a success: outputs, notebook, and what was read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.reads import ASKS_WORKBENCH, ProgramReads
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import StageReads
from mlops_workbench.pipelines.cache.stage_cache import StageCache
from mlops_workbench.pipelines.runs.folder import read_struct, write_struct
from mlops_workbench.pipelines.runs.requests import StageRequest

_MOST_NAMED = 5
_NOT_NAME = re.compile(r"\W+")


class Kept(msgspec.Struct, frozen=True):
    """What is kept of an attempt.

    Attributes
    ----------
    reads : StageReads
        What it read beyond its declared inputs.
    outputs : dict
        See `StageResult`.
    notebook : str
        Blob of the executed notebook.
    refusal : str
        Why the result must not be reused, with the remedy; then no files are kept.
    undeclared : list of str
        Absolute paths of the data that it read and that are no inputs.
    """

    reads: StageReads = StageReads()
    outputs: dict[str, dict[str, str]] = {}
    notebook: str = ""
    refusal: str = ""
    undeclared: list[str] = []


def keep_files(workspace: Workspace, stage: StageRequest, executed: Path, observed: Path, path: Path) -> None:
    """Store the outputs of a stage that succeeded, and then write a `Kept` to `path`.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    stage : StageRequest
        The stage.
    executed : Path
        The executed notebook.
    observed : Path
        What its kernel has read, as `ProgramReads`; without this file nothing is kept.
    path : Path
        Where the `Kept` is written.

    Raises
    ------
    StorageError
        Something cannot be stored.
    """
    try:
        program = read_struct(observed, ProgramReads)
    except FileNotFoundError:
        return  # the kernel ended itself, or it is not IPython's
    cache = StageCache(workspace)
    notebook = Path(stage.source)
    files = [entry for entry in stage.inputs.values() if entry.kind in ("file", "stage", "dataset", "sql")]
    declared = [file for entry in files for file in entry.files]
    targets = {name: entry.path for name, entry in stage.outputs.items()}
    patterns = {str(Path(file).parent) for entry in files if "*" in entry.source for file in entry.files}
    reads, changed = cache.reads(program, notebook, [*declared, *targets.values(), str(notebook)], patterns)
    found = reads.files.items() if reads is not None else ()
    undeclared = [cache.absolute(name, notebook) for name, digest in found if digest]
    refusal = changed or _refusal(workspace, stage, program)
    if reads is None or refusal:
        write_struct(path, Kept(refusal=refusal, undeclared=undeclared))
        return
    try:
        outputs = cache.keep_outputs(targets)
        kept = Kept(reads, outputs, workspace.blobs.put_file(executed), undeclared=undeclared)
    except OSError as error:
        raise StorageError(f"the outputs cannot be stored: {error}") from error
    cache.digests.save()
    write_struct(path, kept)


def _refusal(workspace: Workspace, stage: StageRequest, program: ProgramReads) -> str:
    """Why a result of the stage must not be reused; empty if it may."""
    if program.prefix != sys.prefix:
        return f"its kernel runs the Python in {program.prefix}, whose packages are not compared"
    if ASKS_WORKBENCH in program.unseen and stage.cache.ttl is None:
        return f"{ASKS_WORKBENCH}: say for how long a result holds with 'cache: {{ttl: 1d}}'"
    if program.unseen and not stage.inputs and stage.cache.ttl is None:
        return (
            f"{_named(program.unseen)}, so that what it reads is not known: declare its 'inputs', or for how long a"
            " result holds with 'cache: {ttl: 1d}'"
        )
    folders = (str(workspace.root) + os.sep, str(Path(stage.source).parent) + os.sep)
    written = [path for path in program.written if path.startswith(folders)]
    if written:
        shown = [os.path.relpath(path, workspace.root) for path in written]
        return f"it writes {_named(shown)}, which is no output: declare it in 'outputs', and write to that path"
    return ""


def notes_on(stage: StageRequest, kept: Kept, spec: Path) -> list[str]:
    """What a user should know about the cache and a stage: undeclared reads with the line to add, and a refusal."""
    name = f"stage '{stage.stage}'"
    notes = [f"{name} is not cached: {kept.refusal}"] if kept.refusal else []
    if kept.undeclared:
        shown = [_from(path, spec.parent) for path in kept.undeclared[:_MOST_NAMED]]
        entries = ", ".join(f"{_variable(path)}: {path}" for path in shown)
        what = "which is not an input" if len(kept.undeclared) == 1 else "which are not inputs"
        read = _named([_from(path, spec.parent) for path in kept.undeclared])
        notes.append(f"{name} reads {read}, {what}: add 'inputs: {{{entries}}}'")
    return notes


def _from(path: str, folder: Path) -> str:
    """The path as it is written in a spec."""
    return os.path.relpath(path, folder)


def _variable(path: str) -> str:
    name = _NOT_NAME.sub("_", Path(path).stem).strip("_").lower()
    return name if name.isidentifier() else f"input_{name}"


def _named(names: Iterable[str]) -> str:
    found = list(names)
    more = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
