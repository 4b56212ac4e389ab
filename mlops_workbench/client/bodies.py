"""Bodies of requests to the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops_workbench.core.models import SignatureColumn

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class RegisterRequest:
    """Register the model of a run.

    Attributes
    ----------
    run : str
        Run by name, uid or MLflow id.
    model : str
        Which of the run's models, empty for its only or last one.
    gate : list of str
        Conditions over the run's metrics; with an alias, the alias moves only when they hold.
    alias : str
        Alias to set, empty for none.
    baseline : str
        Run whose metrics the gate calls ``baseline``, empty for none.
    experiment : str
        Experiment in which a run's name is looked up, empty for all.
    """

    run: str
    model: str = ""
    gate: list[str] = field(default_factory=list)
    alias: str = ""
    baseline: str = ""
    experiment: str = ""


@dataclass(frozen=True)
class PromoteRequest:
    """Give a version an alias, if the gate allows it."""

    alias: str = "champion"
    gate: list[str] = field(default_factory=list)
    baseline: str = ""


@dataclass(frozen=True)
class DeployRequest:
    """Serve a model version: ``name@alias`` follows the alias, ``name/3`` stays."""

    model: str
    port: int = 0


@dataclass(frozen=True)
class PipelineRunRequest:
    """Start a pipeline with these parameters."""

    params: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)


@dataclass(frozen=True)
class ShutdownRequest:
    """Stop the control plane; endpoints stop too unless they are kept."""

    keep_endpoints: bool = False


@dataclass(frozen=True)
class Health:
    """The control plane answers: version, workspace folder and process id."""

    version: str
    root: str
    pid: int


@dataclass(frozen=True)
class LocalModel:
    """A model version on this machine's disk, ready to load: folder, version and signature."""

    name: str
    version: int
    folder: str
    format: str
    inputs: list[SignatureColumn] = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """Body of every answer that is not a success."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None
