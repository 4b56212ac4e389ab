"""Records of a journal: one struct per kind.

A record is encoded as a msgpack array (fields by position); :mod:`mlops_workbench.journal` frames it and does not
depend on these types. New fields are added at the end, with a default: a newer reader reads older journals, and an
older reader ignores new fields. Fields that end in ``_ms`` are milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

#: Value of a parameter or tag; it keeps its type in the journal and becomes text only for MLflow.
Value: TypeAlias = Any

#: Value of a metric: a float (NaN and infinities included) or an int of any size.
Number: TypeAlias = Any

#: Value of `RunStart.via`.
MLFLOW = "mlflow"

#: msgpack extension type of an int beyond 64 bits: big-endian two's complement.
BIG_INT = 1


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records."""


class SessionStart(Record, frozen=True):
    """First record of a journal file: the process that writes it."""

    session: str  # id of the kernel session, the same in all its files
    pid: int
    process_started: float  # see core.processes.ProcessIdentity
    host: str
    user: str
    started_ms: int
    notebook: str  # path of the notebook, empty when unknown
    python: str
    workbench: str


class Heartbeat(Record, frozen=True):
    """The writer is alive; its next heartbeat is due before `due_ms`."""

    at_ms: int
    due_ms: int


class RunStart(Record, frozen=True):
    """Start of a run."""

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
    via: str = ""  # MLFLOW: MLflow code started it, and MLflow shows only what that code logged


class Params(Record, frozen=True):
    """Parameters of a run; `origin` distinguishes logged from observed values."""

    run_uid: str
    values: dict[str, Value]
    origin: str = "logged"  # logged | observed | default (of the class of an observed estimator)


class Metrics(Record, frozen=True):
    """Metrics at one step; :func:`as_float` converts a value for a store that has only floats."""

    run_uid: str
    at_ms: int
    step: int
    values: dict[str, Number]
    origin: str = "logged"  # logged | observed | system (use of resources, named system/... as in MLflow)


class Tags(Record, frozen=True):
    """Tags of a run; a later value wins."""

    run_uid: str
    values: dict[str, Value]
    origin: str = "logged"  # logged | observed (of the repository)


class Artifact(Record, frozen=True):
    """A file of the run; its content was stored in the blob store before."""

    run_uid: str
    path: str  # relative to the artifacts of the run, with forward slashes
    digest: str  # SHA-256
    size: int  # bytes
    media_type: str = "application/octet-stream"
    kind: str = "file"  # file | figure | table | notebook | code | log | environment | schema
    origin: str = "logged"  # logged | observed (code and environment of the run)


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
    """A fitted model; its files were stored in the blob store before.

    ``files`` maps a path inside the model folder to a blob digest: the model (``model.skops``, ``model.ubj`` ...),
    and, if its data was observed, ``mlops/reference.parquet`` (a sample of the training data: the input columns,
    ``__target__`` and ``__prediction__``), ``input_example.json`` (MLflow's ``dataframe_split`` form), the schema
    and the golden set, see :mod:`mlops_workbench.core.model_schema`, and the importance of the inputs, see
    :class:`mlops_workbench.core.model_card.ModelImportance`.
    """

    run_uid: str
    name: str
    flavor: str  # sklearn | xgboost | lightgbm | catboost | pytorch | keras
    format: str  # skops | cloudpickle | ubj | lgb | cbm | torch | keras
    files: dict[str, str]
    inputs: list[Column] = []
    outputs: list[Column] = []
    estimator: str = ""  # qualified class name
    requirements: list[str] = []
    untrusted: list[str] = []  # types in a skops file that are not on the built-in allow-list
    at_ms: int = 0
    version: str = ""  # of the library that wrote the model in its own format
    problem: str = ""  # why endpoints cannot give it what it was fitted on
    types: list[str] | None = None  # types in a skops file that skops may not trust; None if not noted


class Dataset(Record, frozen=True):
    """A data set used by a run."""

    run_uid: str
    name: str
    context: str  # training | test | validation | ...
    digest: str
    rows: int
    columns: list[Column] = []
    source: str = ""
    profile: dict[str, Value] = {}  # kind, missing values, and statistics by column for comparisons
    covers: str = "content"  # input of the digest: content | sampled | shape
    snapshot: str = ""  # blob digest of the data as Parquet, empty for none
    schema: str = ""  # blob digest of the inferred pandera schema as JSON, empty for none
    entity: dict[str, str] = {}  # source_type source schema profile tags, unchanged, as MLflow code logged them


class RunEnd(Record, frozen=True):
    """End of a run; missing when its process was killed."""

    run_uid: str
    end_ms: int
    status: str  # FINISHED | FAILED | KILLED
    error: str = ""  # "NameError: name 'x' is not defined"
    traceback: str = ""
    output: str = ""  # last part of stdout and stderr
    complete: bool = True  # False when records were lost


class CellExecuted(Record, frozen=True):
    """One execution of a cell, tracked or not, failed or not; the journal has them in order of execution.

    A record with status ``running`` and no names is written before the cell runs. A later record with the same uid
    replaces it; that record is missing when the process ended during the cell. Cells that ran before the extension was
    loaded have the status ``unknown``: IPython keeps only their source.

    Effects are ``@shell``, ``@cwd``, ``@environ``, ``@packages``, ``@path`` (of imports), ``@modules``, ``@warnings``,
    ``@settings`` (of libraries), ``@random`` (seeded), ``@drawn:<library>`` (the cell drew random numbers from it),
    ``@mlops:<command>`` (of ``%mlops``), ``@file:<path>`` as written in the source, and also ``@write:<path>`` for a
    file that was written.
    """

    uid: str  # id of this execution
    count: int  # execution count, In[count]; 0 for none
    cell_id: str
    source: str  # as entered, with magics; secrets are masked
    started_ms: int
    duration_us: int
    status: str  # running | ok | failed | interrupted | unknown
    error: str = ""
    notebook: str = ""
    reads: list[str] = []  # names whose values it used, directly or in notebook functions that it called
    writes: list[str] = []  # names that it bound, and names whose values it changed or may have changed in place
    deletes: list[str] = []
    kills: list[str] = []  # those of `writes` that every path through the cell binds before it reads them
    effects: list[str] = []  # effects outside the namespace
    run_uids: list[str] = []  # runs that it started
    random_state: str = ""  # digest of the `RandomState` at the start of the cell


class RandomState(Record, frozen=True):
    """State of the random number generators at the start of a cell, written when it has changed."""

    digest: str
    states: dict[str, Value]  # random | numpy | torch -> the state that the library can restore, as plain values


class Provenance(Record, frozen=True):
    """Executions of cells that a run depends on, and reasons why the notebook may not repeat it."""

    run_uid: str
    cells: list[str]  # uids of `CellExecuted` in order of execution; the last one is the cell of the run
    warnings: list[str] = []  # reasons why the notebook on disk, run top to bottom, would run other code


class ModelMetrics(Record, frozen=True):
    """Metrics that MLflow code logged for a model in MLflow, in addition to the `Metrics` of the run."""

    run_uid: str
    at_ms: int
    step: int
    values: dict[str, Number]
    model_id: str  # id in MLflow
    dataset_name: str = ""
    dataset_digest: str = ""


class SessionEnd(Record, frozen=True):
    """The writer closed the journal."""

    at_ms: int


#: Record types by their number in a frame. Numbers are never reused.
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
    """Encode an int of more than 64 bits; :func:`decode` restores the int."""
    return msgspec.msgpack.Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def as_float(value: Number) -> float:
    """Convert the value of a metric to the nearest float; ints out of range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _extension(code: int, data: memoryview) -> object:
    # Keep unknown extensions of newer writers unchanged.
    return int.from_bytes(data, "big", signed=True) if code == BIG_INT else msgspec.msgpack.Ext(code, bytes(data))


_decoders = {number: msgspec.msgpack.Decoder(kind, ext_hook=_extension) for number, kind in RECORD_TYPES.items()}


def decode(number: int, payload: bytes | memoryview) -> Record | None:
    """Decode the payload of a frame; None when its type is unknown (written by a newer version).

    Raises
    ------
    msgspec.DecodeError
        The payload is not a valid record of this type.
    """
    decoder = _decoders.get(number)
    return decoder.decode(payload) if decoder else None
