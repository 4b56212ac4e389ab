"""The entry about a registered version, which MLflow makes in a transaction of its own."""

from __future__ import annotations

from mlops_workbench.control.audit.subjects import model_subject
from mlops_workbench.control.audit.trail import append, is_recorded
from mlops_workbench.control.database import Database
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.runs import Run


def record_registration(database: Database, version: ModelVersion, run: Run) -> None:
    """Add a new version to the audit trail.

    After a kill between MLflow's transaction and this one, the request that is repeated finds the version there, and
    adds what is missing.
    """
    with database.change() as session:
        subject = model_subject(session, version.name, version.version, version.digest)
        if not is_recorded(session, "model.register", subject):
            append(session, "model.register", subject, reason=f"run {run.name}", after={"run": run.uid})
