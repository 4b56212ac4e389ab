"""Tags in MLflow that hold the workbench's information about a model version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE
from mlops_workbench.core.models import (
    SERVED_FORMATS,
    GateResult,
    ModelVersion,
    ProvenRuntime,
    SignatureColumn,
    TrainingData,
)
from mlops_workbench.core.records import Column
from mlops_workbench.core.runs import Run
from mlops_workbench.core.tags import (
    ANSWERS,
    ESTIMATOR,
    FORMAT,
    GATE,
    INPUTS,
    METRICS,
    MODEL_UID,
    OUTPUTS,
    PARAMS,
    RUN_UID,
    RUNTIME,
    SERVABLE,
    TRAINING,
    UNTRUSTED,
)
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.tracking import LoggedModel
from mlops_workbench.tracking.mapping.models import model_uid
from mlops_workbench.tracking.mlflow.registry import StoredVersion

#: MLflow accepts 100,000 characters; longer tags are left out, since they cannot be truncated.
MAX_TAG = 90_000


#: Value of the tag of a version without a problem.
_YES = "yes"


def tags_of(run: Run, model: LoggedModel, data: Sequence[DatasetVersion] = ()) -> dict[str, str]:
    """Tags of a version that is registered from a run's model.

    They include metrics and parameters, so that a list need not read the runs and a gate has the same result later.
    """
    record = model.record
    tags = {
        RUN_UID: run.uid,
        MODEL_UID: key_of(model),
        ANSWERS: _answers(record.files),
        ESTIMATOR: record.estimator,
        FORMAT: record.format,
        # Resource usage of the run does not describe the model.
        METRICS: json.dumps(
            {name: value for name, value in run.metrics.items() if not name.startswith("system/")}, ensure_ascii=False
        ),
        PARAMS: json.dumps(run.params, ensure_ascii=False),
        INPUTS: _columns(record.inputs),
        OUTPUTS: _columns(record.outputs),
        TRAINING: _training(data),
        SERVABLE: _problem(record.format, record.problem, has_inputs=bool(record.inputs)) or _YES,
        UNTRUSTED: json.dumps(record.untrusted) if record.untrusted else "",
    }
    return {key: value for key, value in tags.items() if value and len(value) <= MAX_TAG}


def key_of(model: LoggedModel) -> str:
    """Identity of a model: that of its record, or MLflow's id if MLflow code logged it, without a record."""
    return model_uid(model.record) if model.record.files else model.model_id


def _answers(files: Mapping[str, str]) -> str:
    known = [files.get(SCHEMA_FILE, ""), files.get(GOLDEN_FILE, "")]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32] if all(known) else ""


def gate_tag(result: GateResult) -> dict[str, str]:
    """Tag with the result of a gate."""
    return {GATE: msgspec.json.encode(result).decode()}


def runtime_tag(runtime: ProvenRuntime | None) -> dict[str, str]:
    """Tag with what answers requests."""
    return {RUNTIME: msgspec.json.encode(runtime).decode() if runtime is not None else ""}


def metrics_tag(metrics: Mapping[str, JsonNumber | None]) -> dict[str, str]:
    """Tag with the metrics of a version."""
    text = json.dumps(dict(metrics), ensure_ascii=False)
    return {METRICS: text} if len(text) <= MAX_TAG else {}


def version_of(stored: StoredVersion, aliases: Mapping[str, int], run: Run | None) -> ModelVersion:
    """The version as it is shown; `run` replaces the tags of a version that plain MLflow registered."""
    tags = stored.tags
    metrics = _loaded(tags.get(METRICS), dict[str, JsonNumber | None])
    params = _loaded(tags.get(PARAMS), dict[str, str])
    return ModelVersion(
        name=stored.name,
        version=stored.version,
        run_uid=tags.get(RUN_UID) or (run.uid if run else ""),
        run_id=stored.run_id,
        aliases=sorted(alias for alias, version in aliases.items() if version == stored.version),
        created_ms=stored.created_ms,
        metrics=metrics if metrics is not None else (run.metrics if run else {}),
        params=params if params is not None else (run.params if run else {}),
        inputs=_loaded(tags.get(INPUTS), list[SignatureColumn]) or [],
        outputs=_loaded(tags.get(OUTPUTS), list[SignatureColumn]) or [],
        gate=_loaded(tags.get(GATE), GateResult),
        estimator=tags.get(ESTIMATOR, ""),
        format=tags.get(FORMAT, ""),
        description=stored.description,
        training=_loaded(tags.get(TRAINING), list[TrainingData]) or [],
        problem=_shown_problem(tags),
        untrusted=_loaded(tags.get(UNTRUSTED), list[str]) or [],
        digest=tags.get(MODEL_UID) or stored.model_id,
        runtime=_loaded(tags.get(RUNTIME), ProvenRuntime),
    )


def _shown_problem(tags: Mapping[str, str]) -> str:
    known = tags.get(SERVABLE)
    if known is None:
        return _problem(tags.get(FORMAT, ""), "", has_inputs=INPUTS in tags)
    return "" if known == _YES else known


def _problem(form: str, problem: str, *, has_inputs: bool) -> str:
    if form and form not in SERVED_FORMATS:
        return f"endpoints serve models of '{form}' only if workbench.toml sets serving.allow_pyfunc = true"
    if not has_inputs:
        # The fix is easy only while the model is still in memory.
        return (
            "its training data was not recorded. Run the cell again with log_model(model, X=X, y=y) after fit "
            "(in MLflow code: with input_example=X), and register that run"
        )
    return problem


def _training(data: Sequence[DatasetVersion]) -> str:
    known = {
        (one.digest, one.name): TrainingData(one.name, one.digest, one.rows)
        for one in data
        if one.context == "training"
    }
    return msgspec.json.encode(list(known.values())).decode() if known else ""


def _columns(columns: list[Column]) -> str:
    return msgspec.json.encode([SignatureColumn(c.name, c.dtype, c.required) for c in columns]).decode()


def _loaded(text: str | None, kind: Any) -> Any:
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError):
        # The tag was edited; the rest of the version is valid.
        return None
