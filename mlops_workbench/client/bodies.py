"""Bodies of the control plane's requests and responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from mlops_workbench.core.models import SignatureColumn
from mlops_workbench.core.wire.patterns import (
    ALIAS,
    CONDITION,
    MAX_CONDITION,
    MAX_REASON,
    PATH,
    REASON,
    REFERENCE,
    Documented,
)

#: Header of an answer that may lack runs that were just logged, since the index is catching up.
CATCHING_UP = "X-Catching-Up"
#: Headers of a request that say for whom it is made (percent-encoded UTF-8) and where, for the audit trail.
ACTOR, SOURCE = "X-Mlops-Actor", "X-Mlops-Source"
#: Characters of a name that are kept.
LONGEST_ACTOR = 200

GateCondition = Annotated[str, Documented(CONDITION, longest=MAX_CONDITION)]
#: Lines of an endpoint's log that a request may ask for.
MOST_LOG_LINES = 10_000
#: Longest name of a run or an experiment that a request gives.
LONGEST_NAME = 250
Reason = Annotated[str, Documented(REASON, longest=MAX_REASON, optional=True)]
AliasOrNone = Annotated[str, Documented(ALIAS, optional=True)]


@dataclass(frozen=True)
class Within:
    """Bounds of a whole number in a request; neither text nor ``true`` is one.

    The control plane's validation reads them by this method, so that clients need not import it.
    """

    low: int
    high: int

    def __get_pydantic_core_schema__(self, kind: Any, handler: Any) -> Any:
        return {**handler(kind), "strict": True, "ge": self.low, "le": self.high}


@dataclass(frozen=True)
class RegisterRequest:
    """Register the model of a run.

    Attributes
    ----------
    run : str
        Name, uid or MLflow id of the run.
    model : str
        Name of one of the run's models, empty for the last one.
    gate : list of str
        Conditions on the run's metrics; the alias is set only if they hold.
    alias : str
        Alias to set, empty for none.
    baseline : str
        Run whose metrics the gate refers to as ``baseline``, empty for none.
    experiment : str
        Experiment in which the name of the run is searched, empty for all.
    override : str
        Why the alias is set although the gate does not pass, empty for no override.
    release_quarantine : str
        See `PromoteRequest`.
    """

    run: str
    model: str = ""
    gate: list[GateCondition] = field(default_factory=list)
    alias: AliasOrNone = ""
    baseline: str = ""
    experiment: str = ""
    # With a factory, clients in TypeScript may leave it out.
    override: Reason = field(default_factory=str)
    release_quarantine: Reason = field(default_factory=str)


@dataclass(frozen=True)
class PromoteRequest:
    """Set an alias of a version if the gate passes.

    Attributes
    ----------
    override : str
        Why the alias is set although the gate does not pass, empty for no override.
    release_quarantine : str
        Why a version that was rolled back is brought back, which lifts its quarantine; empty to refuse it.
    """

    alias: AliasOrNone = "champion"
    gate: list[GateCondition] = field(default_factory=list)
    baseline: str = ""
    override: Reason = field(default_factory=str)
    release_quarantine: Reason = field(default_factory=str)


@dataclass(frozen=True)
class DeployRequest:
    """Serve a model version: ``name@alias`` follows the alias, ``name/3`` is fixed.

    Attributes
    ----------
    override : str
        Why it is served although the replay of logged requests refuses it, empty for no override.
    release_quarantine : str
        See `PromoteRequest`.
    """

    model: Annotated[str, Documented(REFERENCE)]
    port: Annotated[int, Within(0, 65535)] = 0
    override: Reason = field(default_factory=str)
    release_quarantine: Reason = field(default_factory=str)


@dataclass(frozen=True)
class RollbackRequest:
    """Return to the version before, and put the one that is left in quarantine.

    Attributes
    ----------
    reason : str
        Why.
    leaves : int
        The version that is to be left: nothing is changed if another one is served by now. 0 for any.
    """

    reason: Annotated[str, Documented(REASON, longest=MAX_REASON)]
    leaves: Annotated[int, Within(0, 2**31 - 1)] = 0


@dataclass(frozen=True)
class PipelineRunRequest:
    """Start a pipeline, or say what it would run.

    Attributes
    ----------
    params : dict
        Values of parameters.
    texts : dict
        Parameters to what was typed for them in a shell or a form; the type of the parameter says what it means.
        They go before `params`.
    start : str
        This stage and all that need it run, whether they have changed or not; empty for none.
    only : str
        Only this stage runs, on the newest results of those that it needs; empty for none.
    force : list of str
        Stages that run whether they have changed or not; ``*`` for all.
    """

    params: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    # As factories, so that the API's schema does not name defaults, which its clients would have to send.
    start: str = field(default_factory=str)
    only: str = field(default_factory=str)
    force: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NotebookRunRequest:
    """Run a notebook.

    Attributes
    ----------
    notebook : str
        Its path, absolute or relative to the workspace.
    params, texts : dict
        See `PipelineRunRequest`.
    secrets : dict
        Parameters to the environment variables that hold their values.
    name, experiment : str
        Of the run; empty for the name of the notebook, and for the default experiment.
    timeout : float or None
        Seconds that it may take.
    output : str
        Path to which the executed notebook is copied, empty for none.
    """

    notebook: Annotated[str, Documented(PATH)]
    params: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    name: Annotated[str, Documented(longest=LONGEST_NAME)] = ""
    experiment: Annotated[str, Documented(longest=LONGEST_NAME)] = ""
    timeout: Annotated[float, Documented(above=0)] | None = None
    output: Annotated[str, Documented(PATH, optional=True)] = ""


@dataclass(frozen=True)
class ShutdownRequest:
    """Stop the control plane, and the endpoints unless they are kept."""

    keep_endpoints: bool = False


@dataclass(frozen=True)
class Health:
    """Version, workspace folder and process id of a control plane that is running."""

    version: str
    root: str
    pid: int


@dataclass(frozen=True)
class LocalModel:
    """Folder and signature of a model version on this machine's disk."""

    name: str
    version: int
    folder: str
    format: str
    inputs: list[SignatureColumn] = field(default_factory=list)


@dataclass(frozen=True)
class LendRequest:
    """The path of a socket at which somebody waits for a process that scores files.

    Attributes
    ----------
    socket : str
        Path of the socket.
    surroundings : str
        See :func:`mlops_workbench.core.surroundings.fingerprint`: the process must have the same.
    """

    socket: str
    surroundings: str


@dataclass(frozen=True)
class LentProcess:
    """The id of the process that connects to the socket; 0 if there is none."""

    pid: int


@dataclass(frozen=True)
class EndpointLog:
    """Lines of the log of an endpoint's process, and the position in the log after them."""

    text: str
    end: int


@dataclass(frozen=True)
class Problem:
    """Body of every error response."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None
