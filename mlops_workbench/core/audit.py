"""The audit trail: who changed a model or an endpoint, when, from what to what, and on which evidence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from mlops_workbench.core.models import GateResult

#: Version of the form of an entry.
FORM = 1

ActorKind = Literal["person", "process"]
#: Where a request comes from; ``rest`` for a program that does not say, ``control`` for the control plane itself.
Source = Literal["cli", "notebook", "lab", "python", "rest", "pipeline", "mlflow", "control"]
#: What a client may say of itself.
DECLARED_SOURCES: tuple[Source, ...] = ("cli", "notebook", "lab", "python", "rest")
#: Name of a person who is not known.
UNKNOWN = "unknown"

SubjectKind = Literal["model", "endpoint", "database"]
Outcome = Literal["done", "refused"]
#: Noun and verb. A model is taken over (``model.take_over``) when an alias was set or deleted in MLflow, an endpoint
#: follows (``endpoint.follow``) the alias that it serves; both are restored after the database was lost. The version
#: that a rollback leaves is put in quarantine (``model.quarantine``).
Action = Literal[
    "model.register",
    "model.promote",
    "model.refuse",
    "model.rollback",
    "model.quarantine",
    "model.lift_quarantine",
    "model.take_over",
    "endpoint.deploy",
    "endpoint.follow",
    "endpoint.rollback",
    "endpoint.remove",
    "endpoint.restore",
    "database.restore",
]


@dataclass(frozen=True)
class Actor:
    """Who does something.

    Attributes
    ----------
    id : str
        The same for all entries of an actor; derived from kind and name.
    kind : str
        ``person``, or ``process`` for what happens without a request.
    name : str
        Name of the user, or of the process such as ``pipeline flights``.
    source : str
        Where the request comes from.
    declared : bool
        Whether the name is what the client said of itself, which nobody has verified: all clients have one token.
    """

    id: str
    kind: ActorKind
    name: str
    source: Source
    declared: bool = False


def actor(kind: ActorKind, name: str, source: Source, *, declared: bool = False) -> Actor:
    """An actor with the id that belongs to its kind and name."""
    known = f"{kind}\0{name}".encode("utf-8", "backslashreplace")
    return Actor(hashlib.sha256(known).hexdigest()[:16], kind, name, source, declared)


@dataclass(frozen=True)
class Subject:
    """What is changed; `version` is 0 and `digest` empty where there is none.

    The digest is that of the version's model, which covers its files and the run that made it.
    """

    kind: SubjectKind
    name: str
    version: int = 0
    digest: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the audit trail.

    Attributes
    ----------
    v : int
        Version of this form.
    seq : int
        Number of the entry; the first is 1, and none is left out.
    at : str
        Time in UTC as RFC 3339, with milliseconds.
    prev : str
        SHA-256 of the entry before; 64 zeros for the first.
    actor, action, subject
        Who did what to what.
    outcome : str
        ``done``, or ``refused`` when nothing was changed.
    reason : str
        Why, in words.
    before, after : dict
        What was changed: aliases with their versions (0 for none), or what an endpoint shall serve.
    evidence : GateResult or None
        The checks that allowed it, or that did not.
    software : str
        What wrote the entry.
    """

    v: int
    seq: int
    at: str
    prev: str
    actor: Actor
    action: Action
    subject: Subject
    outcome: Outcome
    reason: str = ""
    before: dict[str, int | str] = field(default_factory=dict)
    after: dict[str, int | str] = field(default_factory=dict)
    evidence: GateResult | None = None
    software: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """An entry by its number and SHA-256, kept outside the database; `workspace` is the folder, `at` the time."""

    seq: int
    hash: str
    at: str = ""
    workspace: str = ""


@dataclass(frozen=True)
class AuditReport:
    """Result of a verification of the whole trail.

    Attributes
    ----------
    whole : bool
        Whether every entry is as it was written and follows the one before, and the checkpoints are among them.
    entries : int
        Number of entries up to the last that is right.
    head : str
        SHA-256 of that entry.
    first_bad : int
        Number of the first entry that is changed or missing, 0 for none.
    problems : list of str
        What is wrong, in words.
    checkpoint : Checkpoint or None
        The last checkpoint that the control plane has written.
    """

    whole: bool
    entries: int
    head: str
    first_bad: int = 0
    problems: list[str] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
