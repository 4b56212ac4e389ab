"""What is asked of the process that scores files, and what it reports."""

from __future__ import annotations

from typing import Literal

import msgspec

from mlops_workbench.core.settings import ServingSettings

OnError = Literal["fail", "null"]


class ScoringLog(msgspec.Struct, frozen=True):
    """The prediction log that gets the answers.

    Attributes
    ----------
    folder : str
        ``predictions/endpoint=<name>``.
    personal, personal_in_log, key_file
        Personal columns, and what becomes of them, as in :class:`Desired`.
    """

    folder: str
    personal: list[str] = []
    personal_in_log: Literal["hash", "drop"] = "hash"
    key_file: str = ""


class ScoringRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Files to score.

    Attributes
    ----------
    model, version, folder
        Registered model, its version, and the exported folder of that.
    digest : str
        Digest that the files of the version must have; empty for any.
    settings : ServingSettings
        What may be loaded, and which runtime answers.
    inputs : list of str
        Parquet and CSV files in order; absolute paths.
    output : str
        File to write, by its name Parquet or CSV; an absolute path.
    keep : list of str
        Input columns that are copied to the output.
    on_error : str
        What a row does that the model cannot answer: ``fail`` ends the work, ``null`` gives it no answer and a reason.
    workers : int
        Processes that answer; 0 for one for each core.
    modules : list of str
        Path on which modules are searched, besides that of the installation.
    log : ScoringLog or None
        Where the answers are logged, None for nowhere.
    event_time : str
        Event time of the rows in the log, ISO 8601; empty for the time of the answer.
    """

    model: str
    version: int
    folder: str
    settings: ServingSettings
    inputs: list[str]
    output: str
    digest: str = ""
    keep: list[str] = []
    on_error: OnError = "fail"
    workers: int = 0
    modules: list[str] = []
    log: ScoringLog | None = None
    event_time: str = ""


class Refused(msgspec.Struct, frozen=True):
    """A row without an answer: its file, its number within the file from 0, and why."""

    file: str
    row: int
    reason: str


class ScoringProgress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the work is: the share that is done, from 0 to 1, and rows."""

    share: float
    rows: int


class Scored(msgspec.Struct, frozen=True, kw_only=True, tag="scored"):
    """What was done.

    Attributes
    ----------
    rows, refused : int
        Rows of the output, and those among them without an answer.
    examples : list of Refused
        The first refused rows.
    version : int
        Version that answered.
    runtime, uncompiled : str
        What answered, and why the model was not compiled; empty if it was.
    workers : int
        Processes that answered.
    seconds : float
        Time without that of loading the model.
    is_row_wise : bool
        Whether a row has the same answer whatever other rows are answered with it.
    dropped : int
        Rows that could not be logged.
    """

    rows: int
    refused: int
    examples: list[Refused]
    version: int
    runtime: str
    uncompiled: str
    workers: int
    seconds: float
    is_row_wise: bool = True
    dropped: int = 0


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why nothing was written, as the body of an error."""

    error: dict[str, str | None]


Report = ScoringProgress | Scored | Failed
