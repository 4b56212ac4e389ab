"""The card of a model version: what is known about it, and what only a person can say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops_workbench.core.models import GateResult, ProvenRuntime, SignatureState
from mlops_workbench.core.releases import Quarantine
from mlops_workbench.core.wire.json_numbers import JsonNumber

#: File in a model folder with the importance of its inputs.
IMPORTANCE_FILE = "mlops/importance.json"

#: What the answers of a model are; ``unknown`` without its schema.
Task = Literal["classification", "regression", "other", "unknown"]
Score = Literal["accuracy", "r2", "mean absolute error"]


@dataclass(frozen=True)
class ColumnImportance:
    """How much the score of a model falls when a column is permuted: mean and standard deviation over the repeats."""

    name: str
    mean: float
    std: float


@dataclass(frozen=True)
class ModelImportance:
    """Permutation importance of the inputs of a model, on rows of its training data.

    Attributes
    ----------
    metric : str
        ``accuracy``, or ``r2``, the coefficient of determination.
    score : float
        The score before a column is permuted.
    rows, repeats : int
        Number of rows, and of permutations of each column.
    columns : list of ColumnImportance
        In the order of the schema.
    left_out : list of str
        Columns for which there was no time.
    """

    metric: Score
    score: float
    rows: int
    repeats: int
    columns: list[ColumnImportance]
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CardInput:
    """An input column.

    Attributes
    ----------
    name, type, dtype : str
        Name, type in requests, and type in the training data (empty if unknown).
    required : bool
        Whether every request must have it.
    nullable : bool or None
        Whether the model gives answers for missing values; None if that was not tried.
    low, high : number, str or None
        Range in the training data.
    values : list of str
        Categories or texts in the training data, if they are few.
    hidden : bool
        Whether it is personal or holds secrets, so that its values are not shown.
    """

    name: str
    type: str
    dtype: str = ""
    required: bool = True
    nullable: bool | None = None
    low: JsonNumber | None = None
    high: JsonNumber | None = None
    values: list[str] = field(default_factory=list)
    hidden: bool = False


@dataclass(frozen=True)
class CardColumn:
    """A target or an output: name (empty for none) and type; `width` is the answers per row, 0 for one value."""

    name: str
    dtype: str
    width: int = 0


@dataclass(frozen=True)
class CardSpan:
    """First and last time in a column, in milliseconds since the epoch."""

    column: str
    first_ms: int
    last_ms: int


@dataclass(frozen=True)
class CardDataset:
    """A data set of the run.

    Attributes
    ----------
    name, context : str
        Name in the run, and its use: ``training``, ``test`` and so on.
    digest, covers : str
        Digest of the data, and its input: ``content``, ``sampled`` or ``shape``.
    rows, columns : int
        Number of rows and columns.
    missing : dict
        Number of missing values of the columns that have some.
    spans : list of CardSpan
        Range of its columns of times.
    first_run : str
        Name of the first run with this version.
    snapshot : bool
        Whether a copy of the data was kept.
    """

    name: str
    context: str
    digest: str
    covers: str
    rows: int
    columns: int
    missing: dict[str, int] = field(default_factory=dict)
    spans: list[CardSpan] = field(default_factory=list)
    first_run: str = ""
    snapshot: bool = False


@dataclass(frozen=True)
class CardMachine:
    """Where the run was: platform, processor, number of processors, memory in bytes, GPUs and version of Python."""

    platform: str = ""
    processor: str = ""
    processors: int = 0
    memory_bytes: int = 0
    gpus: list[str] = field(default_factory=list)
    python: str = ""


@dataclass(frozen=True)
class CardSlice:
    """Quality on the rows with one value of a column; `low` and `high` bound its 95 % interval."""

    column: str
    value: str
    rows: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class CardSlices:
    """Quality over slices, on the sample of the training data that is saved with the model.

    Attributes
    ----------
    metric : str
        ``accuracy`` or ``mean absolute error``.
    rows : int
        Number of rows of the sample.
    score : float
        On all of them.
    slices : list of CardSlice
        By column and value.
    """

    metric: Score
    rows: int
    score: float
    slices: list[CardSlice]


@dataclass(frozen=True)
class CardEndpoint:
    """An endpoint that serves the version now, and the reference that it follows."""

    name: str
    model: str


@dataclass(frozen=True)
class CardLineage:
    """From the cell to the endpoint; texts are empty, and numbers 0, for what is unknown.

    Attributes
    ----------
    notebook, cell_id : str
        The notebook and the cell of the run.
    cell : int
        Number of its execution, as in ``In[3]``.
    cell_digest : str
        SHA-256 of its source.
    run, run_uid, run_id, experiment : str
        The run: name, id, id in MLflow, experiment.
    git_commit, git_branch : str
        State of the repository.
    git_dirty : bool
        Whether it had changes that were not committed.
    pipeline, pipeline_run, stage : str
        If the run was a stage of a pipeline.
    aliases : list of str
        Aliases of the version.
    endpoints : list of CardEndpoint
        Endpoints that serve it.
    """

    notebook: str = ""
    cell: int = 0
    cell_id: str = ""
    cell_digest: str = ""
    run: str = ""
    run_uid: str = ""
    run_id: str = ""
    experiment: str = ""
    git_commit: str = ""
    git_branch: str = ""
    git_dirty: bool = False
    pipeline: str = ""
    pipeline_run: str = ""
    stage: str = ""
    aliases: list[str] = field(default_factory=list)
    endpoints: list[CardEndpoint] = field(default_factory=list)


@dataclass(frozen=True)
class CardChange:
    """A metric, a parameter or the digest of a data set that changed since `CardChanges.version`; None for none."""

    kind: Literal["metric", "parameter", "data"]
    name: str
    before: JsonNumber | None
    after: JsonNumber | None


@dataclass(frozen=True)
class CardChanges:
    """Changes since the previous version."""

    version: int
    changes: list[CardChange]


@dataclass(frozen=True)
class CardText:
    """What only a person can say, as Markdown; empty for what nobody has said yet."""

    purpose: str = ""
    users: str = ""
    out_of_scope: str = ""
    limits: str = ""
    risks: str = ""
    owner: str = ""
    contact: str = ""


@dataclass(frozen=True)
class ModelCard:
    """The card of a model version.

    Attributes
    ----------
    name, version
        Registered model and version number.
    digest : str
        Identity of the model, which covers its files and its run.
    signature, signed_by : str
        What the signature of its files is worth, and the identity of its key.
    created_ms : int
        Time of registration, in milliseconds since the epoch.
    author : str
        User of the session of the run.
    text : CardText
        What a person wrote.
    open_questions : list of str
        Headings that nobody has filled.
    estimator, format, task : str
        Class of the model, format of its file, and what its answers are.
    runtime : ProvenRuntime or None
        What answers requests; None if that is not known.
    params : dict
        Parameters of the run.
    software : list of str
        Requirements, with versions.
    machine : CardMachine
        Where the run was.
    inputs, targets, outputs : list
        Columns; empty if unknown.
    classes : list of str
        Classes of a classifier, in the order of its probabilities.
    training, other_data : list of CardDataset
        Training data of the run, and its other data sets.
    metrics : dict
        Metrics of the run.
    gate : GateResult or None
        Result of the last gate.
    golden : dict
        Number of rows of the golden set by kind.
    importance : ModelImportance or None
        Permutation importance; None if it is unknown.
    slices : CardSlices or None
        Quality over slices; None if there are none.
    lineage : CardLineage
        From the cell to the endpoint.
    changes : CardChanges or None
        Changes since the previous version; None for the first one.
    problem : str
        Why endpoints cannot serve it; empty if they can.
    quarantine : Quarantine or None
        Why it was rolled back and must not come back by itself; None if it was not.
    notes : list of str
        What could not be read, and why.
    """

    name: str
    version: int
    digest: str
    signature: SignatureState
    signed_by: str
    created_ms: int
    author: str = ""
    text: CardText = field(default_factory=CardText)
    open_questions: list[str] = field(default_factory=list)
    estimator: str = ""
    format: str = ""
    task: Task = "unknown"
    runtime: ProvenRuntime | None = None
    params: dict[str, str] = field(default_factory=dict)
    software: list[str] = field(default_factory=list)
    machine: CardMachine = field(default_factory=CardMachine)
    inputs: list[CardInput] = field(default_factory=list)
    targets: list[CardColumn] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    outputs: list[CardColumn] = field(default_factory=list)
    training: list[CardDataset] = field(default_factory=list)
    other_data: list[CardDataset] = field(default_factory=list)
    metrics: dict[str, JsonNumber | None] = field(default_factory=dict)
    gate: GateResult | None = None
    golden: dict[str, int] = field(default_factory=dict)
    importance: ModelImportance | None = None
    slices: CardSlices | None = None
    lineage: CardLineage = field(default_factory=CardLineage)
    changes: CardChanges | None = None
    problem: str = ""
    quarantine: Quarantine | None = None
    notes: list[str] = field(default_factory=list)
