"""Names of the MLflow tags that the workbench writes or reads."""

from __future__ import annotations

#: Begins every name of the workbench's own; tags of MLflow code cannot begin with it, nor does MLflow code see them.
RESERVED = "mlops."
#: Workbench ids of runs and models in MLflow.
RUN_UID = "mlops.run_uid"
MODEL_UID = "mlops.model_uid"
#: Id of a workspace's own store, on experiment 0: distinguishes it from a later store at the same path.
STORE = "mlops.store"
#: Kind of a run: ``run``, ``pipeline`` or ``stage``.
KIND = "mlops.kind"
#: Uid of the parent run.
PARENT_UID = "mlops.parent_uid"
#: Origin and result of a run.
EXPERIMENT = "mlops.experiment"
NOTEBOOK = "mlops.notebook"
CELL_ID = "mlops.cell_id"
ERROR = "mlops.error"
COMPLETE = "mlops.complete"
#: On the runs of a pipeline.
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
#: Versions of data that a model version was trained on.
TRAINING = "mlops.training"
OUTPUTS = "mlops.outputs"
#: On a model version: ``yes``, or why endpoints cannot serve it; and types that are not on the built-in list.
SERVABLE = "mlops.servable"
UNTRUSTED = "mlops.untrusted"
#: What answers requests for a model version, and with what it was proven.
RUNTIME = "mlops.runtime"
#: Result of the gate of a model version.
GATE = "mlops.gate"
#: Signature on the files of a model version, see :mod:`mlops_workbench.serving.signatures.oms`.
SIGNATURE = "mlops.signature"
#: Digest of the schema and the golden set of a model: models that are fitted anew and give the same answers share it.
ANSWERS = "mlops.answers"
#: ``measured`` or ``estimated``.
ENERGY = "mlops.energy"
CURRENCY = "mlops.currency"
STRUCTURE = "mlops.structure"
WARNINGS = "mlops.warnings"
#: Set when the data of a run was not in memory any more.
UNKNOWN_DATA = "mlops.data.unknown"
#: Snapshots that are not kept, and why.
REFUSED_SNAPSHOTS = "mlops.data.no_snapshot"
AUTOTRACK = "mlops.autotrack"
#: Set on a run whose files are kept from the rule of retention.
KEEP = "mlops.keep"
#: On a search over parameters and on its candidates.
SEARCH = "mlops.search"
SEARCH_CANDIDATE = "mlops.search.candidate"
SEARCH_CANDIDATES = "mlops.search.candidates"
#: ``estimated`` when the times of a search's candidates were not measured.
TIMES = "mlops.times"
#: Tags defined by MLflow.
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
#: Prefix of the tags with the names of models that MLflow code logged, by MLflow's id.
MODEL_PREFIX = "mlops.model."
#: Prefixes of tags that end in the name of an input, table, parameter or metric, or in a name changed for MLflow.
INPUT_PREFIX = "mlops.input."
TABLE_PREFIX = "mlops.table."
PARAM_PREFIX = "mlops.param."
METRIC_PREFIX = "mlops.metric."
NAME_PREFIX = "mlops.name."


def visible_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that are not the workbench's own."""
    return {key: value for key, value in tags.items() if not key.startswith(RESERVED)}


def shown_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags set by users, and MLflow's note as ``note``."""
    shown = {key: value for key, value in tags.items() if not key.startswith(("mlflow.", "mlops."))}
    if note := tags.get(NOTE):
        shown.setdefault("note", note)
    return shown
