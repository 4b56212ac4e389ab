"""What a journal carries: one struct per kind of record.

A record is encoded as a msgpack array (fields by position) and framed by :mod:`mlops_workbench.journal`,
which knows nothing of these types. Fields are only ever added at the end, with a default, so that a newer
reader reads older journals and an older one skips what it does not know.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

#: What a parameter or tag may hold in the journal: kept true, turned into text only for MLflow.
Value: TypeAlias = Any

#: What a metric may hold: a float (NaN and infinities included) or an int of any size.
Number: TypeAlias = Any

#: msgpack extension type of an int beyond 64 bits: big-endian two's complement.
BIG_INT = 1


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records."""


class SessionStart(Record, frozen=True):
    """First record of a journal file: who writes it."""

    session: str  # id of the kernel session, the same in all files it rotates through
    pid: int
    process_started: float  # see core.processes.ProcessIdentity
    host: str
    user: str
    started_ms: int
    notebook: str  # path of the notebook, empty when unknown
    python: str
    workbench: str


class Heartbeat(Record, frozen=True):
    """The writer lives and promises the next sign of life before `due_ms`."""

    at_ms: int
    due_ms: int


class RunStart(Record, frozen=True):
    """A run begins."""

    run_uid: str
    name: str
    experiment: str
    start_ms: int
    kind: str = "run"  # run | pipeline | stage
    parent_uid: str = ""
    notebook: str = ""
    cell_id: str = ""
    source: str = ""  # code as executed
    tags: dict[str, Value] = {}


class Params(Record, frozen=True):
    """Parameters of a run; `origin` tells what a user logged from what was observed."""

    run_uid: str
    values: dict[str, Value]
    origin: str = "logged"  # logged | observed | default (of the class of an estimator that was seen)


class Metrics(Record, frozen=True):
    """Metrics at one step; see :func:`as_float` for a value that a store of floats can take."""

    run_uid: str
    at_ms: int
    step: int
    values: dict[str, Number]
    origin: str = "logged"  # logged | observed | system (resources used, named system/... as MLflow names them)


class Tags(Record, frozen=True):
    """Tags of a run; a later value wins."""

    run_uid: str
    values: dict[str, Value]


class Artifact(Record, frozen=True):
    """A file of the run; its bytes are in the blob store already."""

    run_uid: str
    path: str  # relative, with forward slashes, as it will appear under the run
    digest: str  # SHA-256
    size: int
    media_type: str = "application/octet-stream"
    kind: str = "file"  # file | figure | table | notebook | code | log | environment | schema


class Column(msgspec.Struct, frozen=True):
    """A column of a model's input or output.

    Attributes
    ----------
    name : str
        Column name; empty for the only column of an unnamed matrix.
    dtype : str
        MLflow data type: ``double float integer long boolean string datetime``.
    required : bool
        False when the training data has missing values here.
    """

    name: str
    dtype: str
    required: bool = True


class Model(Record, frozen=True):
    """A fitted model; its files are in the blob store already.

    ``files`` maps a path inside the model folder to a blob digest: ``model.skops`` (or ``model.pkl``),
    and, when data was seen, ``mlops/reference.parquet`` (a sample of the training data: the input columns,
    ``__target__`` and ``__prediction__``) and ``input_example.json`` (MLflow's ``dataframe_split`` form).
    """

    run_uid: str
    name: str
    flavor: str  # sklearn | pytorch | keras
    format: str  # skops | cloudpickle | torch | keras
    files: dict[str, str]
    inputs: list[Column] = []
    outputs: list[Column] = []
    estimator: str = ""  # qualified class name
    requirements: list[str] = []
    untrusted: list[str] = []  # types a skops file holds beyond the built-in allow-list
    at_ms: int = 0
    version: str = ""  # of the library that wrote a network


class Dataset(Record, frozen=True):
    """Data that went into a run."""

    run_uid: str
    name: str
    context: str  # training | test | validation | ...
    digest: str
    rows: int
    columns: list[Column] = []
    source: str = ""
    profile: dict[str, Value] = {}  # kind, missing counts, and per column what a comparison of two versions needs
    covers: str = "content"  # what the digest was made of: content | sampled | shape
    snapshot: str = ""  # blob digest of the data itself as Parquet, when a snapshot was asked for
    schema: str = ""  # blob digest of the inferred pandera schema (its JSON form)
    entity: dict[str, str] = {}  # source_type source schema profile tags, word for word as MLflow code logged them


class RunEnd(Record, frozen=True):
    """A run ended; absent when its process died."""

    run_uid: str
    end_ms: int
    status: str  # FINISHED | FAILED | KILLED
    error: str = ""  # "NameError: name 'x' is not defined"
    traceback: str = ""
    output: str = ""  # tail of stdout and stderr
    complete: bool = True  # False when records had to be dropped


class CellExecuted(Record, frozen=True):
    """One execution of a cell in the session, tracked or not, failed ones included.

    Slicing and replay build on these: the journal keeps them in order of execution, each with the source as
    it was executed. A sign with status ``running`` and no names is written before the cell runs; the record under
    the same uid that follows takes its place, and is missing when the cell took the process with it. ``unknown`` is
    the status of cells that ran before the extension was loaded: of these IPython kept no more than the source.

    Effects are ``@shell``, ``@cwd``, ``@environ``, ``@packages``, ``@path`` (of imports), ``@modules``, ``@warnings``,
    ``@random`` (seeded), ``@drawn:<library>`` (its random numbers are not where they were before the cell),
    ``@file:<path>`` as written in the source, and ``@write:<path>`` too when it was written.
    """

    uid: str  # of this execution
    count: int  # execution count, In[count]; 0 when it was not counted
    cell_id: str
    source: str  # as typed, with magics; secrets masked
    started_ms: int
    duration_us: int
    status: str  # running | ok | failed | interrupted | unknown
    error: str = ""
    notebook: str = ""
    reads: list[str] = []  # names whose values it used; those used by notebook functions that it calls included
    writes: list[str] = []  # names that it bound, or whose value it changed or may have changed in place
    deletes: list[str] = []
    kills: list[str] = []  # those of `writes` that were bound, whatever path was taken, before they were read
    effects: list[str] = []  # what it touched outside of the namespace
    run_uids: list[str] = []  # runs that were begun in it
    random_state: str = ""  # digest of the `RandomState` at its start


class RandomState(Record, frozen=True):
    """State of the random number generators at the start of a cell, written when it differs from the last one."""

    digest: str
    states: dict[str, Value]  # random | numpy | torch -> what that library takes back, as plain values


class Provenance(Record, frozen=True):
    """Where a run comes from: the executions it rests on, and what speaks against repeating it."""

    run_uid: str
    cells: list[str]  # uids of `CellExecuted`, in order of execution, that of the run itself last
    warnings: list[str] = []  # plain words: why the notebook on disk, run top to bottom, is not this code


class ModelMetrics(Record, frozen=True):
    """Metrics that MLflow code logged for a model in MLflow, beside the run's own `Metrics`."""

    run_uid: str
    at_ms: int
    step: int
    values: dict[str, Number]
    model_id: str  # of MLflow
    dataset_name: str = ""
    dataset_digest: str = ""


class SessionEnd(Record, frozen=True):
    """The writer closed the journal in good order."""

    at_ms: int


#: Number of a record type in the frame. Numbers are never reused.
RECORD_TYPES: dict[int, type[Record]] = {
    1: SessionStart,
    2: Heartbeat,
    3: RunStart,
    4: Params,
    5: Metrics,
    6: Tags,
    7: Artifact,
    8: Model,
    9: Dataset,
    10: RunEnd,
    11: SessionEnd,
    12: CellExecuted,
    13: RandomState,
    14: Provenance,
    15: ModelMetrics,
}
TYPE_NUMBERS: dict[type[Record], int] = {kind: number for number, kind in RECORD_TYPES.items()}


def big_int(value: int) -> msgspec.msgpack.Ext:
    """An int beyond 64 bits in the form that :func:`decode` turns back into the int."""
    return msgspec.msgpack.Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def as_float(value: Number) -> float:
    """The float nearest to a metric's value; ints beyond the floats become infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _extension(code: int, data: memoryview) -> object:
    # An extension of a newer writer is kept as it is.
    return int.from_bytes(data, "big", signed=True) if code == BIG_INT else msgspec.msgpack.Ext(code, bytes(data))


_decoders = {number: msgspec.msgpack.Decoder(kind, ext_hook=_extension) for number, kind in RECORD_TYPES.items()}


def decode(number: int, payload: bytes | memoryview) -> Record | None:
    """The record in a frame's payload, None when its type is newer than this reader.

    Raises
    ------
    msgspec.DecodeError
        The payload is not such a record.
    """
    decoder = _decoders.get(number)
    return decoder.decode(payload) if decoder else None
