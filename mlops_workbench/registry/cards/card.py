"""The card of a model version from what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.model_card import (
    CardChange,
    CardChanges,
    CardColumn,
    CardDataset,
    CardEndpoint,
    CardInput,
    CardLineage,
    CardMachine,
    CardSlices,
    CardSpan,
    CardText,
    ModelCard,
    Task,
)
from mlops_workbench.core.model_schema import ModelSchema
from mlops_workbench.core.models import ModelVersion, model_name
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.runs import RunDetail
from mlops_workbench.core.secrets import MASK
from mlops_workbench.core.secrets.columns import is_secret_column, is_secret_name
from mlops_workbench.core.tags import GIT_BRANCH, GIT_COMMIT, GIT_DIRTY, PIPELINE, PIPELINE_RUN, STAGE
from mlops_workbench.registry.cards.free_text import open_questions
from mlops_workbench.registry.cards.version_files import PREDICTION, TARGET, VersionFiles

_TRAINING = "training"
_TRUE = ("1", "true", "True", "yes")


@dataclass(frozen=True)
class VersionFacts:
    """What a card is made from.

    Attributes
    ----------
    version : ModelVersion
        The version.
    digest : str
        Identity of its model.
    files : VersionFiles
        What its files say.
    run : RunDetail or None
        The run that logged it; None if it is not in the index.
    datasets : sequence of DatasetVersion
        Data of that run.
    environment : mapping
        Its ``environment.json``; empty if there is none.
    endpoints : sequence of Endpoint
        All endpoints.
    previous : ModelVersion or None
        The version before.
    previous_datasets : sequence of DatasetVersion
        Data of its run.
    text : CardText
        What a person wrote.
    personal : sequence of str
        Patterns of the names of personal columns.
    notes : sequence of str
        What could not be read.
    """

    version: ModelVersion
    digest: str
    files: VersionFiles = field(default_factory=VersionFiles)
    run: RunDetail | None = None
    datasets: Sequence[DatasetVersion] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = ()
    previous: ModelVersion | None = None
    previous_datasets: Sequence[DatasetVersion] = ()
    text: CardText = field(default_factory=CardText)
    personal: Sequence[str] = ()
    notes: Sequence[str] = ()


def build_card(facts: VersionFacts) -> ModelCard:
    """Return the card of a version."""
    version, schema = facts.version, facts.files.schema
    data = [_dataset(found, facts.personal) for found in facts.datasets]
    hides_target = schema is not None and _hides_target(facts, schema)
    return ModelCard(
        name=version.name,
        version=version.version,
        digest=facts.digest,
        signature=version.signature,
        signed_by=version.signed_by,
        created_ms=version.created_ms,
        author=facts.run.run.user if facts.run else "",
        text=facts.text,
        open_questions=open_questions(facts.text),
        estimator=version.estimator,
        format=version.format,
        task=task_of(schema),
        runtime=version.runtime,
        params=dict(version.params),
        software=list(facts.files.requirements),
        machine=_machine(facts.environment),
        inputs=_inputs(facts),
        targets=[CardColumn(target.name, target.dtype) for target in schema.targets] if schema else [],
        classes=[MASK if hides_target else _text(label) for label in schema.classes] if schema else [],
        outputs=_outputs(version, schema),
        training=[found for found in data if found.context == _TRAINING],
        other_data=[found for found in data if found.context != _TRAINING],
        metrics=dict(version.metrics),
        gate=version.gate,
        golden=facts.files.golden,
        importance=facts.files.importance,
        slices=None if hides_target else _slices(facts),
        lineage=_lineage(facts),
        changes=_changes(facts),
        problem=version.problem,
        quarantine=version.quarantine,
        notes=[*facts.notes, *facts.files.notes],
    )


def task_of(schema: ModelSchema | None) -> Task:
    """What the answers of a model are."""
    if schema is None:
        return "unknown"
    if schema.classes:
        return "classification"
    answer = next((output for output in schema.outputs if output.name == "predict"), None)
    # The answers of clusters and outlier detectors are whole numbers.
    return "regression" if schema.targets and answer is not None and answer.dtype.startswith("float") else "other"


def _inputs(facts: VersionFacts) -> list[CardInput]:
    schema = facts.files.schema
    if schema is None:
        # The signature is all that is known.
        return [CardInput(c.name, c.dtype, required=c.required) for c in facts.version.inputs]
    found = []
    for spec in schema.columns:
        known = (spec.name, spec.type, spec.dtype, spec.required, spec.nullable)
        if _hides(facts, spec.name):
            found.append(CardInput(*known, hidden=True))
        else:
            values = spec.categories if spec.categories is not None else spec.values
            found.append(CardInput(*known, spec.low, spec.high, list(map(_text, values))))
    return found


def _hides(facts: VersionFacts, name: str) -> bool:
    """Whether the values of an input are not shown."""
    # The sample was saved without the columns whose values were found to be secrets.
    sample = facts.files.sample
    return is_personal(name, facts.personal) or is_secret_name(name) or (sample is not None and name not in sample)


def _hides_target(facts: VersionFacts, schema: ModelSchema) -> bool:
    names = [target.name for target in schema.targets]
    return any(is_personal(name, facts.personal) for name in names) or any(
        is_secret_column(name, schema.classes) for name in names or [""]
    )


def _outputs(version: ModelVersion, schema: ModelSchema | None) -> list[CardColumn]:
    if schema is not None and schema.outputs:
        return [CardColumn(output.name, output.dtype, output.width) for output in schema.outputs]
    return [CardColumn(column.name, column.dtype) for column in version.outputs]


def _slices(facts: VersionFacts) -> CardSlices | None:
    sample, task = facts.files.sample, task_of(facts.files.schema)
    if sample is None or TARGET not in sample or PREDICTION not in sample:
        return None
    if task not in ("classification", "regression"):
        return None
    # Imported here: the control plane starts without NumPy.
    from mlops_workbench.registry.cards.slices import slice_quality

    columns = {
        name: values
        for name, values in sample.items()
        if name not in (TARGET, PREDICTION) and values and not _hides(facts, name)
    }
    found = slice_quality(columns, sample[TARGET], sample[PREDICTION], classifies=task == "classification")
    return found if found is not None and found.slices else None


def _dataset(data: DatasetVersion, personal: Sequence[str]) -> CardDataset:
    profile = data.profile
    spans = [
        CardSpan(column["name"], round(column["min"] * 1000), round(column["max"] * 1000))
        for column in profile.get("columns") or []
        if column.get("kind") == "datetime" and _has_range(column) and not is_personal(column["name"], personal)
    ]
    return CardDataset(
        data.name, data.context, data.digest, data.covers, data.rows, data.columns, dict(profile.get("missing") or {}),
        spans, data.first_run, bool(data.snapshot),
    )  # fmt: skip


def _has_range(column: Mapping[str, Any]) -> bool:
    return all(isinstance(column.get(bound), int | float) for bound in ("min", "max"))


def _machine(environment: Mapping[str, Any]) -> CardMachine:
    machine, python = environment.get("machine") or {}, environment.get("python") or {}
    return CardMachine(
        platform=str(machine.get("platform") or ""),
        processor=str(machine.get("processor") or ""),
        processors=int(machine.get("processors") or 0),
        memory_bytes=int(machine.get("memory_bytes") or 0),
        gpus=[str(gpu.get("name") or "") for gpu in machine.get("gpus") or []],
        python=str(python.get("version") or ""),
    )


def _lineage(facts: VersionFacts) -> CardLineage:
    version, detail = facts.version, facts.run
    serving = [
        CardEndpoint(endpoint.name, endpoint.model)
        for endpoint in sorted(facts.endpoints, key=lambda endpoint: endpoint.name)
        if model_name(endpoint.model) == version.name and endpoint.version == version.version and endpoint.url
    ]
    if detail is None:
        return CardLineage(
            run_uid=version.run_uid, run_id=version.run_id, aliases=list(version.aliases), endpoints=serving
        )
    run, tags = detail.run, detail.run.tags
    # The last cell is that of the run.
    cell = detail.cells[-1] if detail.cells else None
    source = cell.source if cell is not None else detail.source
    return CardLineage(
        notebook=run.notebook,
        cell=cell.count if cell is not None else 0,
        cell_id=cell.cell_id if cell is not None else "",
        cell_digest=hashlib.sha256(source.encode("utf-8", "backslashreplace")).hexdigest() if source else "",
        run=run.name,
        run_uid=run.uid,
        run_id=run.run_id,
        experiment=run.experiment,
        git_commit=tags.get(GIT_COMMIT, ""),
        git_branch=tags.get(GIT_BRANCH, ""),
        git_dirty=tags.get(GIT_DIRTY, "") in _TRUE,
        pipeline=tags.get(PIPELINE, ""),
        pipeline_run=tags.get(PIPELINE_RUN, ""),
        stage=tags.get(STAGE, ""),
        aliases=list(version.aliases),
        endpoints=serving,
    )


def _changes(facts: VersionFacts) -> CardChanges | None:
    before, now = facts.previous, facts.version
    if before is None:
        return None
    pairs: list[tuple[Any, Mapping[str, Any], Mapping[str, Any]]] = [
        ("metric", before.metrics, now.metrics),
        ("parameter", before.params, now.params),
        ("data", _digests(facts.previous_datasets), _digests(facts.datasets)),
    ]
    return CardChanges(
        before.version,
        [
            CardChange(kind, name, old.get(name), new.get(name))
            for kind, old, new in pairs
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ],
    )


def _digests(datasets: Sequence[DatasetVersion]) -> dict[str, str]:
    return {f"{data.name} ({data.context})": data.digest for data in datasets}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
