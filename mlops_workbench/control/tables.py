"""Tables of the control plane. Each change needs a migration."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mlops_workbench.control.column_types import CleanJson, CleanText


class Base(DeclarativeBase):
    """Base of the tables."""


class EndpointRow(Base):
    """Desired state of an endpoint (:class:`mlops_workbench.core.endpoints.EndpointSpec`)."""

    __tablename__ = "endpoints"

    name: Mapped[str] = mapped_column(CleanText, primary_key=True)
    model: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    previous: Mapped[int] = mapped_column(Integer, default=0)
    port: Mapped[int] = mapped_column(Integer, default=0)
    wanted: Mapped[bool] = mapped_column(Boolean, default=True)
    generation: Mapped[int] = mapped_column(Integer, default=1)


class ReleaseRow(Base):
    """A change of the version of an endpoint, to which triggers allow no change (`core.releases.Release`).

    ``version`` is 0 when the endpoint was removed. ``replay`` is the id of the replay before the switch, 0 for none.
    """

    __tablename__ = "releases"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    endpoint: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    replaced: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(CleanText)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    model: Mapped[str] = mapped_column(CleanText, default="")
    kind: Mapped[str] = mapped_column(CleanText, default="")
    actor: Mapped[str] = mapped_column(CleanText, default="")
    replay: Mapped[int] = mapped_column(Integer, default=0)

    __table_args__ = (Index("releases_by_endpoint", "endpoint", "id"),)


class ServedRow(Base):
    """A version that an endpoint answered with from ``since_ms`` on; 0 when it did not answer any more."""

    __tablename__ = "served"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    endpoint: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(CleanText)
    since_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("served_by_endpoint", "endpoint", "id"),)


class ReplayRow(Base):
    """Logged requests that a version answered before it was served (`core.releases.ReplayReport`)."""

    __tablename__ = "replays"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    endpoint: Mapped[str] = mapped_column(CleanText)
    model: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    report: Mapped[dict[str, Any]] = mapped_column(CleanJson)

    __table_args__ = (Index("replays_by_endpoint", "endpoint", "version", "id"),)


class QuarantineRow(Base):
    """A version that a rollback left (`core.releases.Quarantine`); ``lifted_ms`` is 0 while it is in force.

    ``answers`` is the tag of this name of the version; empty if the version that was returned to has the same.
    """

    __tablename__ = "quarantines"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(CleanText)
    answers: Mapped[str] = mapped_column(CleanText)
    reason: Mapped[str] = mapped_column(CleanText)
    actor: Mapped[str] = mapped_column(CleanText)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    lifted_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    lifted_by: Mapped[str] = mapped_column(CleanText, default="")
    lifted_reason: Mapped[str] = mapped_column(CleanText, default="")

    __table_args__ = (Index("quarantines_by_model", "model", "version"), Index("quarantines_by_digest", "digest"))


class AliasRow(Base):
    """The version that has an alias, which MLflow's alias follows (:class:`mlops_workbench.registry.aliases.Alias`).

    ``model_created_ms`` tells a model from a later one of the same name.
    """

    __tablename__ = "aliases"

    model: Mapped[str] = mapped_column(CleanText, primary_key=True)
    alias: Mapped[str] = mapped_column(CleanText, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    stored: Mapped[int] = mapped_column(Integer)
    model_created_ms: Mapped[int] = mapped_column(BigInteger)


class AliasChangeRow(Base):
    """A change of an alias, with the gate that allowed it (:class:`mlops_workbench.core.models.AliasChange`)."""

    __tablename__ = "alias_changes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(CleanText)
    alias: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    replaced: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(CleanText)
    gate: Mapped[dict[str, Any] | None] = mapped_column(CleanJson(none_as_null=True))
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(CleanText, default="")
    why: Mapped[str] = mapped_column(CleanText, default="")

    __table_args__ = (Index("alias_changes_by_model", "model", "id"),)


class VersionRow(Base):
    """A copy of a registered version in MLflow's database ``store``, with all its tags."""

    __tablename__ = "versions"

    model: Mapped[str] = mapped_column(CleanText, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    store: Mapped[str] = mapped_column(CleanText)
    tags: Mapped[dict[str, str]] = mapped_column(CleanJson)


class PipelineRunRow(Base):
    """Publication of a pipeline run's model after its stages have ended.

    ``publish`` is ``pending`` until it was tried, then ``done``, ``refused`` (the gate failed), ``failed`` or
    ``none`` (nothing to publish).
    """

    __tablename__ = "pipeline_runs"

    id: Mapped[str] = mapped_column(CleanText, primary_key=True)
    publish: Mapped[str] = mapped_column(CleanText, default="pending", index=True)
    published: Mapped[str] = mapped_column(CleanText, default="")
    message: Mapped[str] = mapped_column(CleanText, default="")


class MonitorRow(Base):
    """A monitor: its spec and its last evaluated windows, both as JSON."""

    __tablename__ = "monitors"

    endpoint: Mapped[str] = mapped_column(CleanText, primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(CleanJson)
    windows: Mapped[list[dict[str, Any]]] = mapped_column(CleanJson, default=list)
    evaluated_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class AlertRow(Base):
    """An alert.

    ``trigger`` is ``pending`` until the pipeline was started, then ``done``, ``failed``, or ``none`` (no start).
    """

    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(CleanText, primary_key=True)
    endpoint: Mapped[str] = mapped_column(CleanText, index=True)
    kind: Mapped[str] = mapped_column(CleanText)
    window: Mapped[str] = mapped_column(CleanText)
    message: Mapped[str] = mapped_column(CleanText)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(Integer)
    pipeline_run: Mapped[str] = mapped_column(CleanText, default="")
    resolved_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    trigger: Mapped[str] = mapped_column(CleanText, default="none", index=True)


class ScheduleRow(Base):
    """What starts a pipeline or a notebook (:class:`mlops_workbench.pipelines.triggers.targets.Target`).

    ``definition`` is that of the last good file. The row stays when the file is gone, so that what was paused stays
    paused when it is there again.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(CleanText, primary_key=True)
    kind: Mapped[str] = mapped_column(CleanText)
    name: Mapped[str] = mapped_column(CleanText)
    path: Mapped[str] = mapped_column(CleanText)
    definition: Mapped[dict[str, Any]] = mapped_column(CleanJson, default=dict)
    problem: Mapped[str] = mapped_column(CleanText, default="")
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    removed: Mapped[bool] = mapped_column(Boolean, default=False)


class TriggerRow(Base):
    """A trigger of a schedule.

    ``next_ms`` is the next time of a cron expression, 0 for none. ``seen`` is what was seen last: the digests of files,
    or versions of data sets; None until the first look. What happened before ``since_ms`` starts nothing.
    """

    __tablename__ = "triggers"

    id: Mapped[str] = mapped_column(CleanText, primary_key=True)
    schedule: Mapped[str] = mapped_column(CleanText, index=True)
    kind: Mapped[str] = mapped_column(CleanText)
    settings: Mapped[dict[str, Any]] = mapped_column(CleanJson)
    since_ms: Mapped[int] = mapped_column(BigInteger)
    next_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    seen: Mapped[dict[str, Any] | None] = mapped_column(CleanJson(none_as_null=True))
    problem: Mapped[str] = mapped_column(CleanText, default="")


class OccasionRow(Base):
    """What a trigger noticed, and what became of it (:class:`mlops_workbench.core.schedules.Occasion`).

    ``key`` is the planned time, run, alert or delivery: each is noticed once. While the state is ``starting``, the
    process ``owner`` starts the run, until ``lease_ms``. ``joins`` is the occasion whose run serves this one, too.
    """

    __tablename__ = "occasions"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    schedule: Mapped[str] = mapped_column(CleanText)
    trigger: Mapped[str] = mapped_column(CleanText)
    key: Mapped[str] = mapped_column(CleanText)
    kind: Mapped[str] = mapped_column(CleanText)
    reason: Mapped[str] = mapped_column(CleanText)
    params: Mapped[dict[str, Any]] = mapped_column(CleanJson)
    state: Mapped[str] = mapped_column(CleanText, index=True)
    message: Mapped[str] = mapped_column(CleanText, default="")
    run: Mapped[str] = mapped_column(CleanText, default="")
    joins: Mapped[int] = mapped_column(Integer, default=0)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    started_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    owner: Mapped[str] = mapped_column(CleanText, default="")
    lease_ms: Mapped[int] = mapped_column(BigInteger, default=0)

    __table_args__ = (
        Index("occasions_by_schedule", "schedule", "id"),
        Index("occasions_by_key", "trigger", "key", unique=True),
    )


class AuditRow(Base):
    """An entry of the audit trail (:mod:`mlops_workbench.control.audit`), to which triggers allow no change.

    ``body`` is the text that ``hash`` was made from; the columns before ``prev`` repeat what is in it, to be searched.
    """

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(CleanText)
    kind: Mapped[str] = mapped_column(CleanText)
    subject: Mapped[str] = mapped_column(CleanText)
    version: Mapped[int] = mapped_column(Integer)
    prev: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("audit_by_subject", "subject", "seq"), Index("audit_by_action", "action", "seq"))
