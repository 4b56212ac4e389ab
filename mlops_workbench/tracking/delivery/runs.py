"""Deliver the records of one run to MLflow, in an order in which no part blocks another."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.records import (
    Artifact,
    Dataset,
    Metrics,
    Model,
    ModelMetrics,
    Params,
    RunEnd,
    RunStart,
    Tags,
)
from mlops_workbench.core.store import BlobStore
from mlops_workbench.core.tags import ESTIMATOR, FORMAT, MODEL_NAME, MODEL_UID, NOTE, PARAM_PREFIX, RUN_UID
from mlops_workbench.tracking.delivery.end_tags import ERROR, end_tags_after
from mlops_workbench.tracking.delivery.log import DeliveredRun, DeliveryLog
from mlops_workbench.tracking.delivery.long_texts import long_texts
from mlops_workbench.tracking.delivery.plain import without_additions
from mlops_workbench.tracking.delivery.record import RunRecord
from mlops_workbench.tracking.journals.files import REAPER
from mlops_workbench.tracking.mapping.metric_rows import metric_rows, named
from mlops_workbench.tracking.mapping.models import model_uid, store_model_name
from mlops_workbench.tracking.mapping.values import MAX_PARAM, MAX_TAG, as_text, clip, safe_path, store_name
from mlops_workbench.tracking.mlflow.errors import PERMANENT
from mlops_workbench.tracking.mlflow.model_folder import write_model_folder
from mlops_workbench.tracking.mlflow.store import (
    METRICS_PER_CALL,
    PARAMS_PER_CALL,
    TAGS_PER_CALL,
    TrackingStore,
)

Item = TypeVar("Item")


class _Abandoned(Exception):
    """MLflow has deleted the run."""


class RunDelivery:
    """Delivers the parts of runs that exist in MLflow.

    Every part is safe to repeat. A part that MLflow refuses permanently is noted in the delivery log and
    skipped; the journal still has it.

    Parameters
    ----------
    store : TrackingStore
        The store.
    log : DeliveryLog
        Its acknowledgements.
    blobs : BlobStore
        Files of artifacts and models.
    """

    def __init__(self, store: TrackingStore, log: DeliveryLog, blobs: BlobStore) -> None:
        self.store = store
        self.log = log
        self.blobs = blobs
        #: False once a batch has failed repeatedly although the store answers: then a failure that may be temporary
        #: counts as a refusal, too.
        self.patient = True

    def deliver_values(self, run: DeliveredRun, items: Sequence[RunRecord]) -> bool:
        """Deliver parameters, metrics and tags of `run`, and its end unless files must be delivered before that.

        Returns
        -------
        bool
            Whether the records have files for :meth:`deliver_files`.

        Raises
        ------
        Unavailable
            The store does not answer; the same records must be delivered again.
        """
        if run.abandoned:
            return False
        items = _delivered(run, items)
        others = [item for item in items if type(item.record) is not Metrics]
        try:
            tags: dict[str, str] = {}
            self._params(run, others, tags)
            self._metrics(run, items, tags)
            self._tags(run, others, tags)
            if any(self._makes_file(run, item) for item in others):
                return True
            self._ends(run, others)
        except _Abandoned:
            self.log.abandon(run.uid)
        return False

    def deliver_files(self, run: DeliveredRun, items: Sequence[RunRecord]) -> None:
        """Deliver artifacts, models and data sets of `run`; its end may have been delivered before.

        Raises
        ------
        Unavailable
            The store, or its artifact store, does not answer.
        StorageError
            Files cannot be read or written.
        """
        if run.abandoned:
            return
        others = [item for item in _delivered(run, items) if type(item.record) is not Metrics]
        # Files can wait; only a permanent refusal skips them.
        patient, self.patient = self.patient, True
        try:
            for item in others:
                self._files(run, item)
            for item in others:
                if isinstance(item.record, Model):
                    self._model(run, item.record, self.log.session(item.session)[1])
            self._datasets(run, [item.record for item in others if isinstance(item.record, Dataset)])
            self._model_metrics(run, [item.record for item in others if isinstance(item.record, ModelMetrics)])
        except _Abandoned:
            self.log.abandon(run.uid)
        finally:
            self.patient = patient

    def deliver_end(self, run: DeliveredRun, items: Sequence[RunRecord]) -> None:
        """Deliver the end of `run` if it is among `items`, and the metrics of an ended run to its models.

        Raises
        ------
        Unavailable
            As for :meth:`deliver_values`.
        """
        try:
            self._ends(run, items)
            self._link_metrics_to_models(run)
        except _Abandoned:
            self.log.abandon(run.uid)

    def revive(self, run: DeliveredRun) -> None:
        """Reopen a run that was ended as dead and is alive.

        Raises
        ------
        Unavailable
            As for :meth:`deliver_values`.
        """
        try:
            self._reopen(run)
            self._attempt(run, "tag", lambda: self.store.set_tags(run.run_id, {ERROR: ""}))
        except _Abandoned:
            self.log.abandon(run.uid)

    def makes_file(self, run: DeliveredRun, item: RunRecord) -> bool:
        """Whether the record has files for :meth:`deliver_files`."""
        return type(item.record) is not Metrics and any(self._makes_file(run, kept) for kept in _delivered(run, [item]))

    # Parts ------------------------------------------------------------------------------------------------------

    def _params(self, run: DeliveredRun, items: Sequence[RunRecord], tags: dict[str, str]) -> None:
        first: dict[str, str] = {}
        for item in items:
            if not isinstance(item.record, Params):
                continue
            for name, value in item.record.values.items():
                key, text = named(name, tags), as_text(value)
                ordinal = self.log.param_ordinal(run.uid, key, item.place, text)
                if ordinal > 1:
                    tags[store_name(f"{PARAM_PREFIX}{key}.{ordinal}")] = text
                elif ordinal == 1:
                    first[key] = clip(text, MAX_PARAM)
        for some in _chunks(list(first.items()), PARAMS_PER_CALL):
            try:
                self.store.log_params(run.run_id, dict(some))
            except PERMANENT as error:
                self._check_open(run, error)
                self._params_one_by_one(run, dict(some), tags)

    def _params_one_by_one(self, run: DeliveredRun, params: dict[str, str], tags: dict[str, str]) -> None:
        known = self.store.run_params(run.run_id)
        for key, text in params.items():
            if key in known:
                if known[key] != text:
                    tags[store_name(f"{PARAM_PREFIX}{key}.2")] = text
                continue
            self._attempt(run, f"param {key}", partial(self.store.log_params, run.run_id, {key: text}))

    def _metrics(self, run: DeliveredRun, items: Sequence[RunRecord], tags: dict[str, str]) -> None:
        rows = metric_rows((item.record for item in items if isinstance(item.record, Metrics)), tags)
        for some in _chunks(rows, METRICS_PER_CALL):
            self._bisect(run, "metric", some, lambda part: self.store.log_metrics(run.run_id, part))

    def _tags(self, run: DeliveredRun, items: Sequence[RunRecord], tags: dict[str, str]) -> None:
        now = self.log.run(run.uid)
        ended = now.ended if now else ""
        for item in items:
            record = item.record
            if isinstance(record, RunStart):
                given = record.tags
                if ended and not item.session.startswith(REAPER):
                    tags[ERROR], ended = "", ""
            elif isinstance(record, Tags):
                given = record.values
            else:
                if isinstance(record, RunEnd):
                    ended = end_tags_after(ended, record, item.session, tags)
                continue
            for name, value in given.items():
                tags[named(name, tags)] = as_text(value)
                if name == "note" and not run.plain:
                    tags[NOTE] = as_text(value)
        # Clears the error of an obsolete end; most runs have none.
        if tags.get(ERROR) == "" and not self.store.run_tags(run.run_id).get(ERROR):
            del tags[ERROR]
        short = [(key, clip(text, MAX_TAG)) for key, text in tags.items()]
        for some in _chunks(short, TAGS_PER_CALL):
            self._bisect(run, "tag", some, lambda part: self.store.set_tags(run.run_id, dict(part)))

    def _makes_file(self, run: DeliveredRun, item: RunRecord) -> bool:
        record = item.record
        if isinstance(record, RunEnd) and (record.output or record.traceback or self.log.models_of(run.uid)):
            return True
        if isinstance(record, (Artifact, Model, ModelMetrics, Dataset)):
            return True
        if isinstance(record, RunStart) and record.source:
            return True
        return any(True for _ in long_texts(self.log, run.uid, item))

    def _files(self, run: DeliveredRun, item: RunRecord) -> None:
        record = item.record
        for path, text in long_texts(self.log, run.uid, item):
            self._text(run, text, path)
        if isinstance(record, RunStart) and record.source:
            self._text(run, record.source, "code/cell.py")
        elif isinstance(record, RunEnd):
            if record.output:
                self._text(run, record.output, "logs/output.txt")
            if record.traceback:
                self._text(run, record.traceback, "logs/traceback.txt")
        elif isinstance(record, Artifact):
            path = safe_path(record.path)
            if self.log.uploaded(run.uid, path) == record.digest:
                return
            if self._attempt(
                run, f"artifact {path}", lambda: self.store.log_file(run.run_id, self.blobs.get(record.digest), path)
            ):
                self.log.ack_upload(run.uid, path, record.digest)

    def _text(self, run: DeliveredRun, text: str, path: str) -> None:
        self._attempt(run, f"artifact {path}", lambda: self.store.log_text(run.run_id, text, path))

    def _model(self, run: DeliveredRun, model: Model, python: str) -> None:
        key = model_uid(model)
        known = self.log.model(key)
        if known and known[1]:
            return
        self._attempt(run, f"model {model.name}", lambda: self._send_model(run, model, key, python))

    def _send_model(self, run: DeliveredRun, model: Model, key: str, python: str) -> None:
        known = self.log.model(key)
        model_id = known[0] if known else self.store.find_model(run.experiment_id, key)
        if not model_id:
            tags = {
                MODEL_UID: key,
                RUN_UID: run.uid,
                ESTIMATOR: model.estimator,
                FORMAT: model.format,
                MODEL_NAME: model.name,
            }
            model_id = self.store.create_model(
                run.experiment_id, store_model_name(model.name), run.run_id, tags, self.store.run_params(run.run_id)
            )
        self.log.ack_model(key, run.uid, model_id, finished=False)
        with tempfile.TemporaryDirectory(prefix="mlops-model-") as staging:
            folder = Path(staging) / "model"
            write_model_folder(
                folder,
                model,
                self.blobs,
                run_id=run.run_id,
                model_id=model_id,
                location=self.store.model_location(model_id),
                python=python,
            )
            self.store.finish_model(model_id, run.run_id, folder)
        self.log.ack_model(key, run.uid, model_id, finished=True)

    def _datasets(self, run: DeliveredRun, datasets: list[Dataset]) -> None:
        if datasets:
            self._bisect(run, "dataset", datasets, lambda part: self.store.log_datasets(run.run_id, part))

    def _model_metrics(self, run: DeliveredRun, records: list[ModelMetrics]) -> None:
        if records:
            self._bisect(run, "metric of a model", records, lambda part: self.store.log_model_metrics(run.run_id, part))

    def _ends(self, run: DeliveredRun, items: Sequence[RunRecord]) -> None:
        for item in items:
            reaped = item.session.startswith(REAPER)
            if isinstance(item.record, RunEnd):
                self._end(run, item.record, reaped=reaped)
            elif isinstance(item.record, RunStart) and not reaped:
                self._reopen(run)

    def _reopen(self, run: DeliveredRun) -> None:
        """Reopen a run that has a start after its end: it was ended as dead, or it is resumed."""
        now = self.log.run(run.uid)
        if now is not None and now.ended and self._attempt(run, "start", lambda: self.store.reopen_run(run.run_id)):
            self.log.set_ended(run.uid, "")

    def _end(self, run: DeliveredRun, end: RunEnd, *, reaped: bool) -> None:
        now = self.log.run(run.uid)
        if reaped and now is not None and now.ended == "run":
            # An end that a run wrote itself has precedence over the reaper's.
            return
        status = end.status if end.status in ("FINISHED", "FAILED", "KILLED") else "FAILED"
        if self._attempt(run, "end", lambda: self.store.end_run(run.run_id, status, max(end.end_ms, 1))):
            self.log.set_ended(run.uid, "reaper" if reaped else "run")

    def _link_metrics_to_models(self, run: DeliveredRun) -> None:
        """Log the last metrics of an ended run once more for its models, whose pages in MLflow show no others."""
        now = self.log.run(run.uid)
        models = self.log.models_of(run.uid)
        if now is None or not now.ended or not models:
            return
        rows = [row for row in self.store.latest_metrics(run.run_id) if math.isfinite(row.value)]
        for model_id in models:
            for some in _chunks(rows, METRICS_PER_CALL):
                self._attempt(
                    run,
                    f"metrics of model {model_id}",
                    partial(self.store.log_metrics, run.run_id, some, model_id),
                )

    # Refusals ---------------------------------------------------------------------------------------------------

    def _attempt(self, run: DeliveredRun, what: str, call: Callable[[], None]) -> bool:
        try:
            call()
        except PERMANENT as error:
            self._refused(run, what, error)
            return False
        except WorkbenchError as error:
            # A storage error, such as a full disk, is fixed by the user; the artifact must not be skipped.
            if self.patient or isinstance(error, StorageError):
                raise
            self.store.ping()
            self._refused(run, what, error)
            return False
        return True

    def _bisect(self, run: DeliveredRun, what: str, items: list[Item], call: Callable[[list[Item]], None]) -> None:
        try:
            call(items)
            return
        except PERMANENT as error:
            problem: WorkbenchError = error
        except WorkbenchError as error:
            if self.patient:
                raise
            self.store.ping()
            problem = error
        if len(items) == 1:
            self._refused(run, f"{what} {clip(str(items[0]), 200)}", problem)
            return
        self._check_open(run, problem)
        middle = len(items) // 2
        self._bisect(run, what, items[:middle], call)
        self._bisect(run, what, items[middle:], call)

    def _refused(self, run: DeliveredRun, what: str, error: WorkbenchError) -> None:
        self._check_open(run, error)
        self.log.note_problem(run.uid, what, str(error))

    def _check_open(self, run: DeliveredRun, error: WorkbenchError) -> None:
        if not self.store.run_is_open(run.run_id):
            self.log.note_problem(run.uid, "run", f"MLflow has deleted the run: {error}")
            raise _Abandoned


def _delivered(run: DeliveredRun, items: Sequence[RunRecord]) -> Sequence[RunRecord]:
    return without_additions(items) if run.plain else items


def _chunks(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
