"""What a program has read while it ran, which its result may depend on."""

from __future__ import annotations

from typing import Literal

import msgspec

#: Variable of the environment with the path of the file to which the kernel of a stage writes what it has read.
READS_VARIABLE = "MLOPS_READS"

#: In `ProgramReads.unseen`, of a program that asked the workbench for runs, models or predictions.
ASKS_WORKBENCH = "it asks the workbench, whose answers change"


class FileRead(msgspec.Struct, frozen=True):
    """A file that was read.

    Attributes
    ----------
    path : str
        Absolute path.
    size, mtime_ns : int
        As they were when it was opened, to notice that it was changed afterwards; size -1 if that is not known.
    how : str
        ``open``, ``descriptor`` or ``map`` (found open, or mapped, between two cells), ``module`` (imported),
        ``missing`` (looked for, and not there).
    """

    path: str
    size: int
    mtime_ns: int
    how: Literal["open", "descriptor", "map", "module", "missing"] = "open"


class FolderRead(msgspec.Struct, frozen=True):
    """A folder that was listed: absolute path, and the names in it then."""

    path: str
    names: list[str]


class ProgramReads(msgspec.Struct, frozen=True):
    """Everything that a program was seen to read.

    Attributes
    ----------
    files : list of FileRead
        Data, and local modules; without what belongs to installed distributions, to Python or to the system.
    folders : list of FolderRead
        Listed folders.
    distributions : dict
        Imported distributions and their versions.
    unseen : list of str
        Why there may be more that was not seen: ``duckdb opens files itself``.
    written : list of str
        Absolute paths of files that it has written, and that are there.
    prefix : str
        Folder of the Python that ran it.
    """

    files: list[FileRead] = []
    folders: list[FolderRead] = []
    distributions: dict[str, str] = {}
    unseen: list[str] = []
    written: list[str] = []
    prefix: str = ""
