"""State of a run, and recording of logged and observed values."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.record.masked import masked_content
from mlops_workbench.capture.record.values import MAX_STEP, MIN_STEP, named, number, plain, whole_step
from mlops_workbench.capture.run.artifacts import media_type_of, read_artifact
from mlops_workbench.capture.run.figures import KeptFigures
from mlops_workbench.capture.run.tables import MEDIA_TYPE, KeptTables
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Artifact, Dataset, Metrics, Params, RunStart, Tags
from mlops_workbench.core.secrets import mask, mask_value
from mlops_workbench.core.secrets.registered import any_registered
from mlops_workbench.core.shown.plain_text import visible

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.curves import MetricCurves
    from mlops_workbench.capture.run.figures import FigureFile, ShownFigure
    from mlops_workbench.capture.run.fits import Fits
    from mlops_workbench.capture.run.tables import Table


class RunState:
    """A run to which records can be added, also after its end.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the run.
    start : RunStart
        Start record.
    fits : Fits
        Models that runs of this process fitted.
    on_end : callable
        Called with the run's uid when it ends, before its end is recorded.
    url_of : callable
        Returns the address of a run's page for its uid, empty when it has none.
    joined : bool, default=False
        Whether another process started it and ends it.
    thread : int, optional
        Thread in whose context it is the current run; None for an ambient run.
    wait : bool, default=True
        Whether its end waits for the disk.

    Attributes
    ----------
    uid, name, experiment : str
        Identity of the run; the uid is the same in all parts of the workbench.
    metrics : dict
        Last value of each metric.
    params : dict
        Parameters.
    defaults : set of str
        Those of `params` that are defaults of an estimator's class, shown last.
    tags : dict
        Tags.
    datasets : list of Dataset
        Data of the run.
    curves : MetricCurves or None
        Collects the points of its metrics, for a run that is shown while it runs.
    notes : list of str
        Warnings for its card, one sentence each; observers may add to it until the card is shown.
    ended : bool
        Whether it was ended here.
    status : str
        RUNNING, FINISHED, FAILED or KILLED.
    error : str
        Last line of the traceback of a failed run.
    stopped : str
        Reason for which the workbench interrupts the run, else empty.
    """

    def __init__(
        self,
        recorder: Recorder,
        start: RunStart,
        *,
        fits: Fits,
        on_end: Callable[[str], None],
        url_of: Callable[[str], str],
        joined: bool = False,
        thread: int | None = None,
        wait: bool = True,
    ) -> None:
        self.start = start
        self.uid = start.run_uid
        self.name = start.name
        self.experiment = start.experiment
        self.joined = joined
        self.thread = thread
        self.ended = False
        self.status = "RUNNING"
        self.error = ""
        self.stopped = ""
        self.end_ms = 0
        self.metrics: dict[str, float | int] = {}
        self.curves: MetricCurves | None = None
        self.params: dict[str, Any] = {}
        self.tags: dict[str, Any] = dict(start.tags)
        self.datasets: list[Dataset] = []
        self.notes: list[str] = []
        self._recorder = recorder
        self._fits = fits
        self._on_end = on_end
        self._url_of = url_of
        self._write = recorder.write
        self._wait = wait
        #: Last step of each metric, and of those that were observed; a metric that is logged later differs in it.
        self._steps: dict[str, int] = {}
        self._observed_steps: dict[str, int] = {}
        self._observed_params: set[str] = set()
        #: Names that an earlier part of the run observed, and this one may observe again.
        self._params_before: set[str] = set()
        self._metrics_before: set[str] = set()
        self.defaults: set[str] = set()
        self._figures = KeptFigures()
        self._tables = KeptTables()
        self._pid = os.getpid()
        #: Id of the thread that started it.
        self.starting_thread = threading.get_ident()

    def drop_profiles(self) -> None:
        """Remove the profiles of its data and the curves of its metrics from memory; they are recorded."""
        self.curves = None
        self.datasets = [msgspec.structs.replace(data, profile={}) for data in self.datasets]

    @property
    def has_model(self) -> bool:
        """Whether it fitted a model that is in memory, or saved one."""
        return self._fits.find(self.uid) is not None or self._fits.saved(self.uid)

    @property
    def lacks_model(self) -> str:
        """Why what it fitted cannot be registered; empty if it can, or if it fitted nothing."""
        return self._fits.lacks(self.uid)

    @property
    def url(self) -> str:
        """Address of its page on the MLflow server, or in the JupyterLab of this kernel; else empty."""
        return self._url_of(self.uid)

    def __repr__(self) -> str:
        return visible(f"<run {self.name} ({self.uid}), {self.status}, experiment {self.experiment}>")

    def put_metrics(self, values: Mapping[str, Any] | None, step: int | None, metrics: dict[str, Any]) -> None:
        """Log metrics; see `ActiveRun.log`. The run keeps `metrics`."""
        # Called in every step of the user's loops, hence written for speed.
        if values is not None:
            metrics = named(values, metrics)
        for value in metrics.values():
            kind = type(value)
            if kind is not float and kind is not int:
                metrics = {name: number(name, value) for name, value in metrics.items()}
                break
        steps = self._steps
        if step is None:
            step = 0
            for name in metrics:
                if name in steps and steps[name] >= step:
                    step = steps[name] + 1
        elif type(step) is not int or not MIN_STEP <= step <= MAX_STEP:
            step = whole_step(step)
        for name in metrics:
            steps[name] = step
        self.metrics.update(metrics)
        if self.curves is not None:
            self.curves.add(metrics)
        self._write(Metrics(self.uid, time_ns() // 1_000_000, step, metrics))

    def tag(self, values: Mapping[str, Any] | str | None = None, value: Any = None, /, **tags: Any) -> None:
        """Set tags: ``tag(stage="draft")``, ``tag("stage", "draft")`` or ``tag({"a/b": 1})``; a later value wins."""
        given = {values: value} if isinstance(values, str) else values or {}
        plain_tags = {name: mask_value(name, plain(item)) for name, item in named(given, tags).items()}
        if plain_tags:
            self._write(Tags(self.uid, plain_tags))
            self.tags.update(plain_tags)

    def log_artifact(
        self, source: str | os.PathLike[str] | bytes, name: str = "", *, kind: str = "file", media_type: str = ""
    ) -> None:
        """Save a file, a folder or bytes with the run.

        Parameters
        ----------
        source : str, path or bytes
            Copied at once; later changes of the file have no effect.
        name : str, optional
            Path under the run, with forward slashes; by default the file's name. Required for bytes.
        kind : str, default="file"
            ``file``, ``figure``, ``table``, ``notebook``, ``code`` or ``log``.
        media_type : str, optional
            By default guessed from the name.

        Raises
        ------
        InvalidInput
            The file does not exist, or the path is outside of the run.
        """
        self._keep_artifact(source, name, kind, media_type, wait=True)

    def begin_part(self) -> None:
        """Begin another part of the run, such as the next cell of a stage.

        What it observes replaces what earlier parts observed under the same name; logged values are kept.
        """
        self._params_before = set(self._observed_params)
        self._metrics_before = {name for name, step in self._observed_steps.items() if self._steps[name] == step}

    def observe_params(self, values: Mapping[str, Any], origin: str = "observed") -> None:
        """Record observed parameters, except for names that exist."""
        new = {n: v for n, v in values.items() if n not in self.params or n in self._params_before}
        if origin == "default":
            self.defaults |= new.keys()
        self._params_before -= new.keys()
        self._observed_params |= new.keys()
        self._put_params(new, origin)

    def expect_params(self, values: Mapping[str, Any]) -> None:
        """Add parameters that another process recorded; observed ones with another value replace them."""
        self.params.update(values)
        self._observed_params |= values.keys()

    def observe_metrics(self, values: Mapping[str, float | int]) -> None:
        """Record observed metrics, except for names that exist; a metric of an earlier part gets another step."""
        self._observe_steps({name: (0, [value]) for name, value in values.items()})

    def observe_histories(self, histories: Mapping[str, tuple[int, list[float | int]]]) -> None:
        """Record observed histories, given as first step and values, except for names that exist.

        The history of an earlier part is continued.
        """
        for step in self._observe_steps(histories):
            if self.curves is not None:
                self.curves.add(step)

    def _observe_steps(self, observed: Mapping[str, tuple[int, list[float | int]]]) -> list[dict[str, float | int]]:
        """Record values from a first step on, and return those of each step."""
        now = now_ms()
        steps: dict[int, dict[str, float | int]] = {}
        for name, (first, values) in observed.items():
            if name not in self.metrics or name in self._metrics_before:
                # In a part after the first, the steps follow those of the parts before.
                begin = max(first, self._observed_steps.get(name, -1) + 1)
                for step, value in enumerate(values, begin):
                    steps.setdefault(step, {})[name] = value
                if values:
                    self._steps[name] = self._observed_steps[name] = begin + len(values) - 1
                self._metrics_before.discard(name)
        found = [steps[step] for step in sorted(steps)]
        for step, values_of_step in sorted(steps.items()):
            self.metrics.update(values_of_step)
            self._write(Metrics(self.uid, now, step, values_of_step, "observed"))
        return found

    def extend_tag(self, name: str, items: Iterable[str], separator: str) -> None:
        """Set a tag that lists `items`, after those that it lists already."""
        listed = str(self.tags[name]).split(separator) if name in self.tags else []
        self.tag({name: separator.join(dict.fromkeys([*listed, *items]))})

    def observe_dataset(self, dataset: Dataset) -> None:
        """Record data of the run."""
        if dataset.source:
            # The address of a database may contain a password.
            dataset = msgspec.structs.replace(dataset, source=mask(dataset.source))
        self.expect_dataset(dataset)
        self._write(dataset)

    def expect_dataset(self, dataset: Dataset) -> None:
        """Add data that is recorded later with its version; until then its digest is empty."""
        # A full description replaces the preliminary one.
        known = [(data.name, data.context) for data in self.datasets]
        if (dataset.name, dataset.context) in known:
            self.datasets[known.index((dataset.name, dataset.context))] = dataset
        else:
            self.datasets.append(dataset)

    def put_shown_figures(self, shown: Iterable[ShownFigure]) -> None:
        """Save displayed figures that were not logged; an existing name gets a number."""
        for figure in shown:
            if not self._figures.known(figure.files, figure.source):
                self._put_figures(self._figures.add(figure.files, renumber=True, drawing=figure.source), wait=False)

    def put_table(self, table: Table, name: str, *, renumber: bool = False, wait: bool = False) -> None:
        """Save a table; `renumber` appends a number instead of replacing one, `wait` waits for the disk."""
        path = self._tables.add(name, renumber=renumber)
        self._keep_artifact(table.to_json(), path, "table", MEDIA_TYPE, wait=wait)
        self.tag(self._tables.tags(path, table))

    def _put_figures(self, files: Iterable[FigureFile], *, wait: bool) -> None:
        for path, content, media_type in files:
            self._keep_artifact(content, path, "figure", media_type, wait=wait)

    def _keep_artifact(
        self, source: str | os.PathLike[str] | bytes, name: str, kind: str, media_type: str, *, wait: bool
    ) -> None:
        for path, given in read_artifact(source, name):
            # Masked here for the recorded size. The recorder refuses what cannot be masked.
            content = (masked_content(given) or given) if any_registered() else given
            digest = self._recorder.store(self.uid, content, wait=wait)
            if digest is not None:
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                media = media_type or media_type_of(path)
                self._write(Artifact(self.uid, path, digest, size, media, kind), sync=wait)

    def _put_params(self, values: Mapping[str, Any], origin: str) -> None:
        new = {name: mask_value(name, plain(value)) for name, value in values.items()}
        # Unchanged parameters are not recorded again.
        new = {name: value for name, value in new.items() if name not in self.params or self.params[name] != value}
        if new:
            self._write(Params(self.uid, new, origin))
            self.params.update(new)
