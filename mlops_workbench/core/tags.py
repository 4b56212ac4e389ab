"""Every tag of MLflow's objects that the workbench writes or reads, named once."""

from __future__ import annotations

#: Uids that tie what is in MLflow to what is in the journal.
RUN_UID = "mlops.run_uid"
MODEL_UID = "mlops.model_uid"
#: Tag of experiment 0 of a workspace's own store: tells it from a later one in the same place.
STORE = "mlops.store"
#: Kind of a run: ``run``, ``pipeline`` or ``stage``.
KIND = "mlops.kind"
#: Uid of the parent run.
PARENT_UID = "mlops.parent_uid"
#: Where a run comes from.
EXPERIMENT = "mlops.experiment"
NOTEBOOK = "mlops.notebook"
CELL_ID = "mlops.cell_id"
ERROR = "mlops.error"
COMPLETE = "mlops.complete"
#: Of the runs of a pipeline.
PIPELINE = "mlops.pipeline"
PIPELINE_RUN = "mlops.pipeline_run"
REASON = "mlops.reason"
STAGE = "mlops.stage"
ATTEMPT = "mlops.attempt"
ESTIMATOR = "mlops.estimator"
FORMAT = "mlops.format"
MODEL_NAME = "mlops.name"
METRICS = "mlops.metrics"
PARAMS = "mlops.params"
INPUTS = "mlops.inputs"
OUTPUTS = "mlops.outputs"
#: Of a model version: what it was registered with, and the result of its gate.
GATE = "mlops.gate"
#: The move of an alias that was begun and not finished.
PENDING_MOVE = "mlops.pending_move"
#: ``measured`` or ``estimated``.
ENERGY = "mlops.energy"
CURRENCY = "mlops.currency"
STRUCTURE = "mlops.structure"
WARNINGS = "mlops.warnings"
#: Data of a run that is not in memory any more.
UNKNOWN_DATA = "mlops.data.unknown"
AUTOTRACK = "mlops.autotrack"
#: Of a search over parameters and its candidates.
SEARCH = "mlops.search"
SEARCH_CANDIDATE = "mlops.search.candidate"
SEARCH_CANDIDATES = "mlops.search.candidates"
#: ``estimated`` where the times of a search's candidates are not measured.
TIMES = "mlops.times"
#: Tags that MLflow defines.
NOTE = "mlflow.note.content"
PARENT_RUN_ID = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
USER = "mlflow.user"
SOURCE_NAME = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
GIT_COMMIT = "mlflow.source.git.commit"
GIT_BRANCH = "mlflow.source.git.branch"
GIT_URL = "mlflow.source.git.repoURL"
GIT_DIRTY = "mlflow.source.git.dirty"
#: Beginnings of tags whose end names an input, a table, a parameter, a metric or the original of a changed name.
INPUT_PREFIX = "mlops.input."
TABLE_PREFIX = "mlops.table."
PARAM_PREFIX = "mlops.param."
METRIC_PREFIX = "mlops.metric."
NAME_PREFIX = "mlops.name."


def shown_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags of a run for display: none that MLflow or the workbench set, and MLflow's note as ``note``."""
    shown = {key: value for key, value in tags.items() if not key.startswith(("mlflow.", "mlops."))}
    if note := tags.get(NOTE):
        shown.setdefault("note", note)
    return shown
