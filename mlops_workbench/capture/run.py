"""A run that is under way."""

from __future__ import annotations

import os
import traceback as tracebacks
from collections.abc import Iterable, Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.artifacts import artifact_path, media_type_of, read_artifact
from mlops_workbench.capture.encoding import MAX_STEP, MIN_STEP, named, number, plain, whole_step
from mlops_workbench.capture.figures import KeptFigures
from mlops_workbench.capture.tables import MEDIA_TYPE, KeptTables, read_table
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Artifact, Dataset, Metrics, Params, RunEnd, RunStart, Tags
from mlops_workbench.core.secrets import mask, mask_value

if TYPE_CHECKING:
    from mlops_workbench.capture.figures import FigureFile
    from mlops_workbench.capture.output import Shown
    from mlops_workbench.capture.recorder import Recorder
    from mlops_workbench.capture.tables import Table

STATUSES = ("FINISHED", "FAILED", "KILLED")
_TAIL = 64 * 1024


class ActiveRun:
    """A run that records can be added to, also after it ended.

    Parameters
    ----------
    session : Recorder
        Where its records go.
    start : RunStart
        How it began.
    joined : bool, default=False
        It was begun by another process, which ends it.
    thread : int, optional
        The thread in whose context it is the current run; None when it is any code's.

    Attributes
    ----------
    uid, name, experiment : str
        Identity of the run; the uid is the same in every tool of the workbench.
    metrics : dict
        Last value of each metric.
    params : dict
        Parameters.
    defaults : set of str
        Those of `params` that are defaults of an estimator's class, to be shown last.
    tags : dict
        Tags.
    datasets : list of Dataset
        Data that went into it.
    notes : list of str
        What its card is to warn of, one sentence each; whoever observes the run may add to it until the card is
        shown.
    ended : bool
        Whether it was ended here.
    status : str
        RUNNING, FINISHED, FAILED or KILLED.
    error : str
        Last line of the traceback of a failed run.
    stopped : str
        Why the workbench itself interrupts it, empty when it does not.
    """

    def __init__(self, session: Recorder, start: RunStart, *, joined: bool = False, thread: int | None = None) -> None:
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
        self.params: dict[str, Any] = {}
        self.tags: dict[str, Any] = dict(start.tags)
        self.datasets: list[Dataset] = []
        self.notes: list[str] = []
        self._session = session
        self._write = session.write
        self._steps: dict[str, int] = {}
        self.defaults: set[str] = set()
        self._figures = KeptFigures()
        self._tables = KeptTables()
        self._pid = os.getpid()

    @property
    def has_model(self) -> bool:
        """Whether it fitted a model that is still in memory, or logged one."""
        return self._session.find_model(self.uid) is not None or self._session.fits.saved(self.uid)

    @property
    def url(self) -> str:
        """Where to look at it: its page on the MLflow server, or in the JupyterLab of this kernel; else empty."""
        from mlops_workbench.capture.address import run_address

        try:
            return run_address(self._session.workspace, self.uid)
        except WorkbenchError:
            return ""

    def __repr__(self) -> str:
        return f"<run {self.name} ({self.uid}), {self.status}, experiment {self.experiment}>"

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **metrics: Any) -> None:
        """Log metrics.

        Parameters
        ----------
        values : mapping, optional
            Names to numbers, for names that are no Python words: ``log({"val/auc": 0.9})``.
        step : int, optional
            Step of all of them; by default each call counts on by one from the last step of these names,
            beginning at 0.
        **metrics
            Names to numbers: ``log(auc=0.9)``.

        Raises
        ------
        InvalidInput
            A value is no number, a name no text, the step no whole number.
        """
        self.put_metrics(values, step, metrics)

    def put_metrics(self, values: Mapping[str, Any] | None, step: int | None, metrics: dict[str, Any]) -> None:
        """What `log` does; `metrics` becomes the run's own."""
        # Every metric of every step of the user's loop comes this way: no call, no object more than it takes.
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
        self._write(Metrics(self.uid, time_ns() // 1_000_000, step, metrics))

    def log_param(self, name: str, value: Any) -> None:
        """Log one parameter."""
        self.log_params({name: value})

    def log_params(self, values: Mapping[str, Any] | None = None, /, **params: Any) -> None:
        """Log parameters: settings that a run was made with."""
        self._put_params(named(values or {}, params), "logged")

    def tag(self, values: Mapping[str, Any] | str | None = None, value: Any = None, /, **tags: Any) -> None:
        """Set tags: ``tag(stage="draft")``, ``tag("stage", "draft")`` or ``tag({"a/b": 1})``; a later value wins."""
        given = {values: value} if isinstance(values, str) else values or {}
        plain_tags = {name: mask_value(name, plain(item)) for name, item in named(given, tags).items()}
        if plain_tags:
            self.tags.update(plain_tags)
            self._write(Tags(self.uid, plain_tags))

    def log_artifact(
        self, source: str | os.PathLike[str] | bytes, name: str = "", *, kind: str = "file", media_type: str = ""
    ) -> None:
        """Keep a file, a folder or bytes with the run.

        Parameters
        ----------
        source : str, path or bytes
            The content is copied now; later changes of the file do not matter.
        name : str, optional
            Path under the run, with forward slashes; by default the file's name. Required for bytes.
        kind : str, default="file"
            ``file``, ``figure``, ``table``, ``notebook``, ``code`` or ``log``.
        media_type : str, optional
            By default guessed from the name.

        Raises
        ------
        InvalidInput
            There is no such file, or the name leads out of the run.
        """
        for path, content in read_artifact(source, name):
            digest = self._session.store(self.uid, content)
            if digest is not None:
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                media = media_type or media_type_of(path)
                self._write(Artifact(self.uid, path, digest, size, media, kind), sync=True)

    def log_figure(self, figure: Any, name: str = "") -> None:
        """Keep a figure with the run: matplotlib, plotly, or anything that shows itself as PNG or SVG.

        Parameters
        ----------
        figure : object
            The figure.
        name : str, optional
            File name under the run, by default ``figure.<format>`` with a number if taken. For matplotlib its
            ending chooses the format.

        Raises
        ------
        InvalidInput
            It is not a figure.
        """
        from mlops_workbench.capture.figures import drawing_of, render_figure

        files = render_figure(figure, artifact_path(name) if name else "")
        self._put_figures(self._figures.add(files, renumber=not name, drawing=drawing_of(figure)))

    def log_table(self, data: Any, name: str = "table") -> None:
        """Keep a table with the run, in the form that ``mlflow.load_table`` reads.

        Parameters
        ----------
        data : table
            A DataFrame or Series of pandas or polars, an array, a dict of columns, or a list of dicts or rows.
            The index is kept as columns, unless it only counts the rows.
        name : str, default="table"
            File name under the run; ``.json`` is added. A table of the same name is replaced.

        Raises
        ------
        InvalidInput
            It is no table, or the name leads out of the run.
        """
        self.put_table(read_table(data), artifact_path(name))

    def log_dataset(
        self, data: Any, name: str = "", *, context: str = "training", source: str = "", snapshot: bool | None = None
    ) -> None:
        """Record which data the run used: version, shape, columns and a profile.

        Parameters
        ----------
        data : table or path
            A DataFrame, Series, ndarray, scipy sparse matrix, polars or pyarrow table, list of rows, or the path
            of a file or folder.
        name : str, optional
            Name, by default the file's name or ``data``.
        context : str, default="training"
            What it was used for: ``training``, ``validation``, ``test``, ...
        source : str, optional
            Where it came from.
        snapshot : bool, optional
            Keep the data itself as Parquet; by default as ``capture.snapshot`` in ``workbench.toml`` says.

        Raises
        ------
        InvalidInput
            It is neither a table nor an existing file, or a snapshot was asked for and it has no form as Parquet.
        """
        from mlops_workbench.capture.datasets import describe_dataset, digest_seconds, keep_with_run

        session = self._session
        seconds = digest_seconds(session)
        dataset = describe_dataset(self.uid, data, name, context=context, source=source, seconds=seconds)
        self.observe_dataset(keep_with_run(session, dataset, data, snapshot=snapshot))

    def log_model(self, model: Any, name: str = "model", *, X: Any = None, y: Any = None) -> None:
        """Save a fitted scikit-learn model with its signature, so that it can be registered and served.

        Parameters
        ----------
        model : estimator
            Fitted. It is saved with skops; what skops cannot hold is saved with cloudpickle, with a warning.
        name : str, default="model"
            Name of the model within the run.
        X, y : DataFrame, Series or ndarray, optional
            Training data, for the signature, the example and the reference that a monitor compares with;
            by default what the cell is seen to have fitted the model on.

        Raises
        ------
        InvalidInput
            It is no model, it is not fitted, or X and y do not belong together.
        """
        from mlops_workbench.capture.models import log_model

        log_model(self._session, self, model, name, X, y)

    def end(
        self,
        status: str = "FINISHED",
        *,
        error: BaseException | str | None = None,
        traceback: str = "",
        output: str = "",
        end_ms: int = 0,
    ) -> None:
        """End the run; ending it again, or from a forked child, does nothing.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}
            How it ended.
        error : exception or str, optional
            What went wrong; an exception brings its traceback.
        traceback : str, optional
            Traceback as text.
        output : str, optional
            Tail of what was printed.
        end_ms : int, optional
            When it ended, ms since the epoch; by default now.
        """
        if status not in STATUSES:
            raise InvalidInput(f"'{status}' is no status of a run", hint=f"one of {', '.join(STATUSES)}")
        if self.ended or self.joined or self._pid != os.getpid():
            return
        if isinstance(error, BaseException):
            traceback = traceback or "".join(tracebacks.format_exception(error))
            error = _headline(error)
        if self.stopped and status != "FINISHED":
            status, error = "KILLED", self.stopped
        self.ended = True
        self.status = status
        self.error = mask(error or "")
        self.end_ms = end_ms or now_ms()
        self._session.ended(self)
        self._write(
            RunEnd(
                self.uid,
                self.end_ms,
                status,
                error=self.error[-_TAIL:],
                # What is kept is cut from what was masked: a secret that is cut in two could not be told.
                traceback=mask(traceback[-2 * _TAIL :])[-_TAIL:],
                output=mask(output[-2 * _TAIL :])[-_TAIL:],
                complete=self._session.complete(self.uid),
            ),
            sync=True,
        )

    def observe_params(self, values: Mapping[str, Any], origin: str = "observed") -> None:
        """Record parameters that were seen, not logged; a logged one of the same name stands."""
        new = {name: value for name, value in values.items() if name not in self.params}
        if origin == "default":
            self.defaults |= new.keys()
        self._put_params(new, origin)

    def observe_metrics(self, values: Mapping[str, float | int]) -> None:
        """Record metrics that were seen, not logged; a logged one of the same name stands."""
        new = {name: value for name, value in values.items() if name not in self.metrics}
        if new:
            self.metrics.update(new)
            self._write(Metrics(self.uid, now_ms(), 0, new, "observed"))

    def observe_histories(self, histories: Mapping[str, tuple[int, list[float | int]]]) -> None:
        """Record successive steps of metrics that were seen, each from the step on that is given with it."""
        now = now_ms()
        steps: dict[int, dict[str, float | int]] = {}
        for name, (start, values) in histories.items():
            if name not in self.metrics:
                for step, value in enumerate(values, start):
                    steps.setdefault(step, {})[name] = value
        for step, values_of_step in sorted(steps.items()):
            self.metrics.update(values_of_step)
            self._write(Metrics(self.uid, now, step, values_of_step, "observed"))

    def observe_dataset(self, dataset: Dataset) -> None:
        """Record data that was seen to go into the run."""
        if dataset.source:
            # A database's address, with the password in it.
            dataset = msgspec.structs.replace(dataset, source=mask(dataset.source))
        self.expect_dataset(dataset)
        self._write(dataset)

    def expect_dataset(self, dataset: Dataset) -> None:
        """Know of data that is recorded later, when its version was computed; until then its digest is empty."""
        # The same data described again, by now in full, takes the place of what was known of it.
        known = [(data.name, data.context) for data in self.datasets]
        if (dataset.name, dataset.context) in known:
            self.datasets[known.index((dataset.name, dataset.context))] = dataset
        else:
            self.datasets.append(dataset)

    def put_shown_figures(self, shown: Iterable[Shown]) -> None:
        """Keep figures that were displayed, unless they were logged too; a name that is taken gets a number."""
        for figure in shown:
            if not self._figures.known(figure.files, figure.source):
                self._put_figures(self._figures.add(figure.files, renumber=True, drawing=figure.source))

    def put_table(self, table: Table, name: str, *, renumber: bool = False) -> None:
        """Keep a table; `renumber` gives it the next free number instead of replacing one."""
        path = self._tables.add(name, renumber=renumber)
        self.log_artifact(table.to_json(), path, kind="table", media_type=MEDIA_TYPE)
        self.tag(self._tables.tags(path, table))

    def _put_figures(self, files: Iterable[FigureFile]) -> None:
        for path, content, media_type in files:
            self.log_artifact(content, path, kind="figure", media_type=media_type)

    def _put_params(self, values: Mapping[str, Any], origin: str) -> None:
        new = {name: mask_value(name, plain(value)) for name, value in values.items()}
        # What is known already, with this very value, need not be said again.
        new = {name: value for name, value in new.items() if name not in self.params or self.params[name] != value}
        if new:
            self.params.update(new)
            self._write(Params(self.uid, new, origin))


def _headline(error: BaseException) -> str:
    """What a traceback says of the error itself, without the notes and further lines of its message."""
    lines = "".join(tracebacks.format_exception_only(error)).splitlines()
    return next((line for line in lines if line and not line[0].isspace()), type(error).__name__)
