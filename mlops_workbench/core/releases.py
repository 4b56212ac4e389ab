"""Releases: what an endpoint served when and why, the replay before a switch, and versions in quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: Why the version of an endpoint was changed: it was deployed, rolled back, an alias that it follows was moved, its
#: model was registered again, or it was removed. Empty for what is not known.
ReleaseKind = Literal["deploy", "rollback", "alias", "again", "remove", ""]


@dataclass(frozen=True)
class Quarantine:
    """Why a version must not come back by itself.

    Attributes
    ----------
    model, version
        The version that a rollback left.
    digest : str
        Identity of its model; empty if it is not known. The same model is in quarantine under any other number or
        name, and so is one that is fitted anew and gives the same answers to the same golden set.
    reason : str
        Why it was rolled back.
    by : str
        Who did it.
    at_ms : int
        When, in milliseconds since the epoch.
    """

    model: str
    version: int
    digest: str
    reason: str
    by: str
    at_ms: int


@dataclass(frozen=True)
class ReplayDifference:
    """A logged row that the candidate answers in another way.

    Attributes
    ----------
    request_id, row
        Request, and number of the row in it.
    before, after : str
        The logged answer, and the candidate's.
    difference : float or None
        Absolute difference of the answers, of the probabilities for a classifier; None if there is no number for it.
    inputs : dict of str to str
        Inputs of the row, as far as they are in the log in clear; not all of a wide table.
    """

    request_id: str
    row: int
    before: str
    after: str
    difference: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplayReport:
    """Logged requests of an endpoint, answered by a version before it is served.

    Attributes
    ----------
    endpoint, model, version
        The endpoint, and the candidate.
    against : list of int
        Versions whose logged answers are compared.
    at_ms : int
        When, in milliseconds since the epoch.
    rows : int
        Logged rows that were read.
    compared, agree : int
        Rows that both answered, and those with the same answer: equal labels, or numbers equal up to a millionth.
    mean_difference, max_difference : float or None
        Of the compared rows, see `ReplayDifference`; None if there is no number for it.
    errors : int
        Rows that the candidate could not answer.
    problems : list of str
        What went wrong with some of these, each message once.
    left_out : int
        Rows that cannot be asked again.
    why_left_out : str
        Why; empty if there are none.
    differ : list of ReplayDifference
        Rows that differ most.
    problem : str
        Why nothing was replayed: the candidate does not load, for example. Empty if it was.
    refused : str
        Why the switch was refused by this replay; empty if it was not.
    """

    endpoint: str = ""
    model: str = ""
    version: int = 0
    against: list[int] = field(default_factory=list)
    at_ms: int = 0
    rows: int = 0
    compared: int = 0
    agree: int = 0
    mean_difference: float | None = None
    max_difference: float | None = None
    errors: int = 0
    problems: list[str] = field(default_factory=list)
    left_out: int = 0
    why_left_out: str = ""
    differ: list[ReplayDifference] = field(default_factory=list)
    problem: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Release:
    """A change of what an endpoint serves.

    Attributes
    ----------
    endpoint : str
        The endpoint.
    model : str
        Reference to the model as the endpoint had it then: ``churn@champion``, ``churn/3``; empty if it is not known.
    version, replaced : int
        The version, 0 when the endpoint was removed, and the one before, 0 for none.
    kind : str
        Why, in one word.
    reason : str
        Why, in words.
    by : str
        Who decided it; empty if it is not known.
    at_ms : int
        When it was decided, in milliseconds since the epoch.
    from_ms, until_ms : int
        Since when the version answered requests, 0 if it never did; until when, 0 if it still does.
    replay : ReplayReport or None
        The replay before the switch.
    quarantine : Quarantine or None
        Present quarantine of the version.
    """

    endpoint: str
    model: str
    version: int
    replaced: int
    kind: ReleaseKind
    reason: str
    by: str
    at_ms: int
    from_ms: int = 0
    until_ms: int = 0
    replay: ReplayReport | None = None
    quarantine: Quarantine | None = None


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do.

    Attributes
    ----------
    name, model
        Endpoint or model that is rolled back, and the model.
    alias : str
        Alias that is moved; empty for an endpoint of a fixed version.
    leaves, returns_to : int
        The version that is left, and the one that is served then.
    passed_over : list of Quarantine
        Versions between the two that are in quarantine.
    """

    name: str
    model: str
    alias: str
    leaves: int
    returns_to: int
    passed_over: list[Quarantine] = field(default_factory=list)
