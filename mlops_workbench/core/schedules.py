"""What starts by itself: schedules and other triggers of pipelines and notebooks, and what each of them did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

TargetKind = Literal["pipeline", "notebook"]
#: ``waiting``: will start a run; ``starting``: is doing so; ``started``; ``joined``: a start that waited already serves
#: this occasion, too; ``skipped``: by a rule; ``failed``: the run could not be started.
OccasionState = Literal["waiting", "starting", "started", "joined", "skipped", "failed"]


@dataclass(frozen=True)
class Trigger:
    """One thing that starts a pipeline or a notebook.

    Attributes
    ----------
    kind : str
        ``schedule``, ``change``, ``dataset``, ``pipeline``, ``webhook``, ``drift`` or ``metric``.
    text : str
        What it is, for people.
    settings : dict
        Its entries in the file.
    next_ms : int
        Of a schedule, the next time in milliseconds since the epoch; 0 for none.
    problem : str
        Why it does not work, empty for nothing.
    """

    kind: str
    text: str
    settings: dict[str, Any] = field(default_factory=dict)
    next_ms: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Occasion:
    """A moment at which a trigger said that something should start, and what became of it.

    Attributes
    ----------
    id : int
        Its number.
    target : str
        Name of the pipeline, or of the schedule of a notebook.
    kind : str
        Kind of the trigger; ``rule`` for what concerns several.
    reason : str
        What happened. Runs that it started have it as their reason.
    state : str
        See `OccasionState`.
    message : str
        Why it started nothing, or what it waits for.
    run : str
        Id of the run, empty for none.
    at_ms : int
        When it was noticed, in milliseconds since the epoch.
    """

    id: int
    target: str
    kind: str
    reason: str
    state: OccasionState
    message: str
    run: str
    at_ms: int


@dataclass(frozen=True)
class Schedule:
    """What starts one pipeline or one notebook.

    Attributes
    ----------
    name : str
        Name of the pipeline, or of the entry in ``schedules.yaml``.
    kind : str
        ``pipeline`` or ``notebook``.
    path : str
        The file that says so, relative to the workspace.
    notebook : str
        Of a notebook, its path.
    paused : bool
        Whether nothing is started until it is resumed.
    problem : str
        What is wrong with the file; what it said before is used until that is mended.
    next_ms : int
        Earliest time of its schedules in milliseconds since the epoch; 0 for none.
    last : Occasion or None
        What happened last.
    """

    name: str
    kind: TargetKind
    path: str
    notebook: str = ""
    triggers: list[Trigger] = field(default_factory=list)
    paused: bool = False
    problem: str = ""
    next_ms: int = 0
    last: Occasion | None = None
