"""Evaluates a monitor: every window of an endpoint's predictions against the reference sample of its model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.monitors import LABEL_METRICS, FeatureDrift, MonitorSpec, Window, check_metric
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.shown.formats import share as percent
from mlops_workbench.core.wire.json_numbers import JsonNumber, json_number
from mlops_workbench.data.compare.drift import find_drift
from mlops_workbench.monitoring.log_summaries import LogSummaries
from mlops_workbench.monitoring.outlines import Outline
from mlops_workbench.monitoring.quality import is_degraded, metric_for, outcomes, score
from mlops_workbench.monitoring.windows import PredictionReader, Slice

#: Name of the prediction among the features of a window.
PREDICTION = "prediction"
#: Columns that are not inputs.
_RESERVED = ("__target__", "__prediction__", "__truth__")
#: Predictions that are in memory at a time, unless one window has more.
_ROWS_AT_ONCE = 2_000_000


def evaluate(
    spec: MonitorSpec,
    settings: MonitoringSettings,
    *,
    model: str,
    predictions: Path,
    feedback: Path,
    reference: Callable[[int], Path | None],
    previous: Sequence[Window] = (),
    now: int | None = None,
    summaries: LogSummaries | None = None,
) -> list[Window]:
    """Evaluate all windows of an endpoint.

    A window with several model versions is evaluated on the rows of the version with most rows. A window of fewer
    than ``settings.min_rows`` such rows, or without a reference sample, is not evaluated and has a note.

    Parameters
    ----------
    spec : MonitorSpec
        The monitor.
    settings : MonitoringSettings
        Sizes, level and floors.
    model : str
        Registered model that the endpoint serves.
    predictions, feedback : Path
        The workspace's folders.
    reference : callable
        Returns the ``mlops/reference.parquet`` of a model version, or None.
    previous : sequence of Window
        Result of an earlier call; windows with the same rows, labels and settings are reused.
    now : int, optional
        Present time in milliseconds, to determine which window is still growing.
    summaries : LogSummaries, optional
        What earlier calls have read of the log's files: only new files, and windows that have changed, are read.

    Returns
    -------
    list of Window
        In order of time; empty when nothing was logged.

    Raises
    ------
    InvalidInput
        The spec's window or metric is unknown.
    StorageError
        A reference sample cannot be read.
    """
    check_metric(spec.metric)
    moment = now_ms() if now is None else now
    before = {window.label: window for window in previous}
    references = _References(reference)
    known: dict[int, Window] = {}
    log = PredictionReader(predictions, feedback, spec.endpoint, model, spec.window, summaries)
    try:
        outlines = log.outlines()
        changed = []
        for outline in outlines:
            window = before.get(outline.label)
            if window is not None and window.versions:
                stamp = references.stamp(window.versions[0])
                if window.fingerprint == _fingerprint(spec, settings, outline, stamp, moment):
                    known[outline.number] = window
                    continue
            changed.append(outline)
        for part in _parts(changed):
            numbers = {outline.number: outline for outline in part}
            for piece in log.slices(part):
                version, outline = piece.versions[0], numbers[piece.number]
                sample = references.sample(version)
                window = _evaluated(spec, settings, log, piece, sample)
                notes = _notes(spec, settings, piece, sample is not None, _is_full(spec, outline, moment))
                known[piece.number] = dataclasses.replace(
                    window,
                    note="; ".join(filter(None, [*notes, window.note])),
                    fingerprint=_fingerprint(spec, settings, outline, references.stamp(version), moment),
                )
    finally:
        log.close()
    return [known[one.number] for one in outlines if one.number in known]


def _parts(outlines: Sequence[Outline]) -> Iterator[list[Outline]]:
    """Windows that are read together: up to a number of rows, so that a long log does not have to fit into memory."""
    part: list[Outline] = []
    rows = 0
    for outline in outlines:
        if part and rows + outline.rows > _ROWS_AT_ONCE:
            yield part
            part, rows = [], 0
        part.append(outline)
        rows += outline.rows
    if part:
        yield part


class _References:
    """Reference samples by version, read once."""

    def __init__(self, find: Callable[[int], Path | None]) -> None:
        self._find = find
        self._paths: dict[int, Path | None] = {}
        self._samples: dict[int, pa.Table | None] = {}

    def path(self, version: int) -> Path | None:
        if version not in self._paths:
            self._paths[version] = self._find(version)
        return self._paths[version]

    def stamp(self, version: int) -> str:
        path = self.path(version)
        if path is None or not path.exists():
            return ""
        state = path.stat()
        return f"{state.st_size}:{state.st_mtime_ns}"

    def sample(self, version: int) -> pa.Table | None:
        if version not in self._samples:
            path = self.path(version)
            self._samples[version] = None
            if path is not None and path.exists():
                try:
                    self._samples[version] = pq.read_table(path)
                except (OSError, pa.ArrowException) as error:
                    raise StorageError(
                        f"the reference sample of version {version} cannot be read: {error}",
                        where=str(path),
                        hint="delete the exported model's folder; it is exported from the registry again",
                    ) from error
        return self._samples[version]


def _evaluated(
    spec: MonitorSpec, settings: MonitoringSettings, log: PredictionReader, piece: Slice, sample: pa.Table | None
) -> Window:
    window = Window(
        endpoint=spec.endpoint,
        label=piece.label,
        start_ms=piece.start_ms,
        end_ms=piece.end_ms,
        rows=piece.rows,
        versions=piece.versions,
        quality=None,
        reference_quality=None,
        metric=spec.metric,
        coverage=piece.labelled / piece.rows,
        drifted=False,
        degraded=False,
    )
    if piece.version_rows < settings.min_rows:
        return window
    window = _with_quality(window, spec, settings, log, piece, sample)
    if sample is None:
        return window
    live = log.load_window(piece, rows=settings.max_rows)
    features = _drift(live, sample, window.metric, settings)
    note = _not_compared(sample, live, log.hashed_inputs(piece))
    return dataclasses.replace(
        window, features=features, drifted=any(feature.drifted for feature in features), note=note
    )


def _with_quality(
    window: Window,
    spec: MonitorSpec,
    settings: MonitoringSettings,
    log: PredictionReader,
    piece: Slice,
    sample: pa.Table | None,
) -> Window:
    reference = sample
    if sample is not None and not {"__target__", "__prediction__"} <= set(sample.column_names):
        reference = None
    if not piece.version_labelled:
        # Without labels, the reference still determines the expected quality and the metric of the model's kind.
        if reference is None:
            return window
        metric = metric_for(spec.metric, reference["__target__"], reference["__prediction__"])
        before = outcomes(reference["__target__"], reference["__prediction__"], metric)
        return dataclasses.replace(window, metric=metric, reference_quality=_shown(score(before, metric)))
    live = log.load_outcomes(piece)
    metric = metric_for(spec.metric, live["__truth__"], live["__prediction__"])
    if reference is not None and metric == spec.metric:
        metric = metric_for(metric, reference["__target__"], reference["__prediction__"])
    rows = outcomes(live["__truth__"], live["__prediction__"], metric)
    window = dataclasses.replace(window, metric=metric, quality=_shown(score(rows, metric)))
    if reference is None:
        return window
    before = outcomes(reference["__target__"], reference["__prediction__"], metric)
    degraded = len(rows) >= settings.min_rows and is_degraded(
        rows, before, metric, limit=spec.max_degradation, alpha=settings.alpha
    )
    return dataclasses.replace(window, reference_quality=_shown(score(before, metric)), degraded=degraded)


def _shown(quality: float | None) -> JsonNumber | None:
    return None if quality is None else json_number(quality)


def _drift(live: pa.Table, sample: pa.Table, metric: str, settings: MonitoringSettings) -> list[FeatureDrift]:
    inputs = [name for name in sample.column_names if name in live.column_names and name not in _RESERVED]
    names = (["__prediction__"] if "__prediction__" in sample.column_names else []) + inputs
    # Numeric labels are categorical, too.
    labels = ("__prediction__",) if metric in LABEL_METRICS else ()
    found = find_drift(sample.select(names), live, settings, categorical=labels)
    return [
        dataclasses.replace(feature, name=PREDICTION) if feature.name == "__prediction__" else feature
        for feature in found
    ]


def _not_compared(sample: pa.Table, live: pa.Table, hashed: Sequence[str]) -> str:
    """Say which inputs of the reference cannot be compared with the log, and why."""
    absent = [name for name in sample.column_names if name not in live.column_names and name not in _RESERVED]
    private = [name for name in absent if name in hashed]
    others = [name for name in absent if name not in hashed]
    notes = [f"hashed in the log, so not compared: {', '.join(private)}"] if private else []
    notes += [f"not in the log, so not compared: {', '.join(others)}"] if others else []
    return "; ".join(notes)


def _is_full(spec: MonitorSpec, outline: Outline, moment: int) -> bool:
    if spec.window.isdecimal():
        return outline.rows >= int(spec.window)
    return outline.until_us <= moment * 1000


def _notes(spec: MonitorSpec, settings: MonitoringSettings, piece: Slice, has_reference: bool, full: bool) -> list[str]:
    notes = []
    if not full:
        notes.append("still growing")
    if piece.version_rows < settings.min_rows:
        notes.append(f"{piece.version_rows} rows are too few to evaluate (minimum {settings.min_rows})")
    elif full and piece.rows < settings.act_rows:
        notes.append(f"{piece.rows} rows are too few for an alert (minimum {settings.act_rows})")
    elif full and piece.version_labelled and piece.labelled < settings.act_rows:
        notes.append(f"{piece.labelled} labels are too few for an alert on quality (minimum {settings.act_rows})")
    if piece.version_rows >= settings.min_rows and not has_reference:
        notes.append(f"version {piece.versions[0]} has no reference sample: log it with its training data")
    if len(piece.versions) > 1:
        share = piece.version_rows / piece.rows
        notes.append(f"evaluated for version {piece.versions[0]}, which answered {percent(share)} of the rows")
    return notes


def _fingerprint(spec: MonitorSpec, settings: MonitoringSettings, outline: Outline, stamp: str, moment: int) -> str:
    parts = [spec.metric, spec.max_degradation, settings, outline.label, outline.key, stamp]
    # A window that no longer grows has another note.
    plain = msgspec.json.encode([*parts, _is_full(spec, outline, moment)])
    return hashlib.sha256(plain).hexdigest()[:16]
