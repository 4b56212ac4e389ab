"""What entries are about: versions of models, and endpoints by the version that they serve."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mlops_workbench.control.tables import VersionRow
from mlops_workbench.core.audit import Subject
from mlops_workbench.core.models import model_name
from mlops_workbench.core.tags import MODEL_UID


def model_subject(session: Session, name: str, version: int, digest: str = "") -> Subject:
    """A version of a model; its digest, if it is not given, is that of the copy in the database, if there is one."""
    return Subject("model", name, version, digest or _digest(session, name, version))


def endpoint_subject(session: Session, name: str, reference: str, version: int) -> Subject:
    """An endpoint that serves a version of the model of `reference`."""
    return Subject("endpoint", name, version, _digest(session, model_name(reference), version))


def _digest(session: Session, name: str, version: int) -> str:
    # MLflow is not asked: it may be away, and the transaction must not wait for it.
    row = session.get(VersionRow, (name, version)) if version else None
    return row.tags.get(MODEL_UID, "") if row is not None else ""
