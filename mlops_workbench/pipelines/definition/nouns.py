"""The parts of a pipeline spec, each with its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.types import ParameterType

InputKind = Literal["file", "url", "dataset", "sql", "stage"]
OutputType = Literal["file", "table", "array", "model", "json", "figure"]
#: Why an attempt at a stage failed.
Cause = Literal["error", "kernel_died", "timeout", "missing_output", "input", "process_died"]
TriggerKind = Literal["schedule", "change", "dataset", "pipeline", "webhook", "drift", "metric"]


class Place(NamedTuple):
    """Line and column in a file, from 1; 0 for unknown."""

    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.line}:{self.column}" if self.column else str(self.line)


@dataclass(frozen=True)
class ParamSpec:
    """A parameter of a pipeline.

    Attributes
    ----------
    required : bool
        There is no default, so every run must give a value.
    secret : str
        Environment variable that holds the value, which only the process of the stage reads; empty for none.
    """

    name: str
    type: ParameterType
    required: bool
    default: object
    help: str = ""
    secret: str = ""
    line: int = 0

    def convert(self, value: object) -> object:
        """The value converted to the declared type; one without a type is converted by each notebook.

        Raises
        ------
        InvalidInput
            The value cannot be converted, is out of bounds, or the parameter is a secret.
        """
        if self.secret:
            raise InvalidInput(
                f"parameter '{self.name}' is a secret, so no value can be given",
                hint=f"set the environment variable {self.secret} where the pipeline runs",
            )
        if self.type.kind == "any":
            return value
        try:
            return self.type.convert(value)
        except InvalidInput as error:
            raise InvalidInput(f"parameter '{self.name}': {error.message}", hint=error.hint) from error


@dataclass(frozen=True)
class StageParam:
    """A parameter that a stage passes to its notebook: the pipeline's parameter of that name, or a constant."""

    constant: object = None
    of_pipeline: bool = True
    place: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True)
class InputSpec:
    """An input of a stage.

    Attributes
    ----------
    kind : str
        ``file``: path or pattern; ``url``: an fsspec URL; ``dataset``: a data set of the workspace; ``sql``: a query;
        ``stage``: an output of a stage.
    source : str
        Path, pattern, URL, ``name`` or ``name@version`` of a data set, text of the query, or name of the stage.
    output : str
        Of a stage: the name of its output.
    choose : str
        Of a stage with a matrix: ``max METRIC`` or ``min METRIC``, which chooses one of its instances; empty for all.
    connection : str
        Of a query: a SQLAlchemy or DuckDB URL, or ``secret:NAME`` for one in an environment variable.
    """

    kind: InputKind
    source: str
    output: str = ""
    choose: str = ""
    connection: str = ""
    place: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True)
class OutputSpec:
    """An output of a stage: a path in the stage's output folder, and the type that ``save`` writes."""

    path: str
    type: OutputType = "file"
    place: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True)
class RetrySpec:
    """Further attempts after a failure of one of these causes; the pause doubles from `backoff` seconds each time."""

    max: int = 0
    on: tuple[Cause, ...] = ("error", "kernel_died", "timeout", "missing_output", "input", "process_died")
    backoff: float = 0.0


@dataclass(frozen=True)
class ResourceSpec:
    """What a stage takes of the machine: CPU cores, bytes of memory (0: not counted), GPUs."""

    cpu: float = 1.0
    memory: int = 0
    gpu: float = 0.0


@dataclass(frozen=True)
class CacheSpec:
    """Whether an unchanged stage is taken from the cache.

    Attributes
    ----------
    ttl : float or None
        Seconds after which a result is computed again.
    ignore : tuple of str
        Parts that the key leaves out: ``packages``, ``python``.
    """

    enabled: bool = True
    ttl: float | None = None
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageSpec:
    """A stage: a notebook with its parameters, inputs and outputs.

    Attributes
    ----------
    metrics : tuple of str
        Metrics that its run must have.
    matrix : dict
        Values of parameters; the stage runs once for each combination.
    timeout : float or None
        Seconds that an attempt may take.
    gate : tuple of str
        Conditions on its metrics; when one fails, the pipeline run ends as finished and not published.
    """

    name: str
    notebook: str
    params: dict[str, StageParam] = field(default_factory=dict)
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    outputs: dict[str, OutputSpec] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    matrix: dict[str, tuple[object, ...]] = field(default_factory=dict)
    timeout: float | None = None
    retries: RetrySpec = RetrySpec()
    resources: ResourceSpec = ResourceSpec()
    cache: CacheSpec = CacheSpec()
    gate: tuple[str, ...] = ()
    place: Place = field(default=Place(), compare=False, repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    def at(self, key: str) -> Place:
        """Place of the value of a key, or of the stage."""
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class PublishSpec:
    """The model to register when all stages succeeded and all gates passed.

    Attributes
    ----------
    stage : str
        Stage whose run logged the model, or which has an input or output `model`.
    model : str
        Name of that input or output; empty: the model that the stage's run logged.
    name : str
        Registered model.
    serve : bool
        Whether its endpoint, which has the name of the model, is deployed if it does not exist.
    gate : tuple of str
        Conditions on the metrics of the stage `metrics_from`, checked in addition to the gates of the stages.
    """

    stage: str
    name: str
    model: str = ""
    alias: str = ""
    serve: bool = False
    gate: tuple[str, ...] = ()
    metrics_from: str = ""
    place: Place = field(default=Place(), compare=False, repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    def at(self, key: str) -> Place:
        """Place of the value of a key, or of the whole."""
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class TriggerSpec:
    """What starts the pipeline: one entry of ``on``.

    Attributes
    ----------
    kind : str
        ``schedule``, ``change``, ``dataset``, ``pipeline``, ``webhook``, ``drift`` or ``metric``.
    settings : dict
        Its entries, checked and converted; durations in seconds.
    """

    kind: TriggerKind
    settings: dict[str, object]
    place: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True)
class StartLimits:
    """How often triggers start a pipeline; 0 for no limit.

    Attributes
    ----------
    cooldown : float
        Seconds from the start of a run to the next one.
    per_day : int
        Most starts in 24 hours.
    """

    cooldown: float = 0.0
    per_day: int = 0


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline spec.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    path : Path
        The file; paths in it are relative to its folder.
    experiment : str
        Experiment of its runs.
    max_active : int
        Most runs at a time; further ones wait.
    limits : StartLimits
        How often its triggers start it.
    version : int
        Version of the format of the file.
    """

    name: str
    path: Path
    experiment: str
    stages: dict[str, StageSpec]
    params: dict[str, ParamSpec] = field(default_factory=dict)
    description: str = ""
    publish: PublishSpec | None = None
    triggers: tuple[TriggerSpec, ...] = ()
    max_active: int = 1
    limits: StartLimits = StartLimits()
    version: int = 2

    def where(self, place: Place | int) -> str:
        """``file:line:column``, or ``file:line``."""
        return f"{self.path}:{place}"
