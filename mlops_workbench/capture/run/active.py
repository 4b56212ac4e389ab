"""A run that is under way, as the user's code has it in hand."""

from __future__ import annotations

import os
import traceback as tracebacks
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.record.values import named
from mlops_workbench.capture.run.artifacts import artifact_path
from mlops_workbench.capture.run.state import RunState
from mlops_workbench.capture.run.tables import read_table
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import RunEnd
from mlops_workbench.core.secrets import mask

STATUSES = ("FINISHED", "FAILED", "KILLED")
_TAIL = 64 * 1024


class ActiveRun(RunState):
    """A run with what a user can say of it; see `RunState` for what it is made from and what it knows."""

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

    def log_param(self, name: str, value: Any) -> None:
        """Log one parameter."""
        self.log_params({name: value})

    def log_params(self, values: Mapping[str, Any] | None = None, /, **params: Any) -> None:
        """Log parameters: settings that a run was made with."""
        self._put_params(named(values or {}, params), "logged")

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
        from mlops_workbench.capture.run.figures import drawing_of, render_figure

        files = render_figure(figure, artifact_path(name) if name else "")
        self._put_figures(self._figures.add(files, renumber=not name, drawing=drawing_of(figure)), wait=True)

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
        self.put_table(read_table(data), artifact_path(name), wait=True)

    def log_dataset(
        self, data: Any, name: str = "", *, context: str = "training", source: str = "", snapshot: bool | None = None
    ) -> None:
        """Record which data the run used: version, shape, columns and a profile.

        Parameters
        ----------
        data : table or path
            A DataFrame, Series, ndarray, scipy sparse matrix, polars or pyarrow table, list of rows, tensor, dataset
            or loader of tensors, or the path of a file or folder.
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
        from mlops_workbench.capture.run.datasets import digest_seconds, keep_with_run
        from mlops_workbench.data.describe import describe_dataset
        from mlops_workbench.data.tables.tensors import readable

        data = readable(data)
        seconds = digest_seconds(self._recorder)
        dataset = describe_dataset(self.uid, data, name, context=context, source=source, seconds=seconds)
        self.observe_dataset(keep_with_run(self._recorder, dataset, data, snapshot=snapshot))

    def log_model(self, model: Any, name: str = "model", *, X: Any = None, y: Any = None) -> None:
        """Save a fitted model with its signature, so that it can be registered and served.

        Parameters
        ----------
        model : estimator
            Fitted. It is saved with skops; what skops cannot hold is saved with cloudpickle, with a warning. Networks
            of PyTorch and Keras are saved as their library does it, in MLflow's flavour of it.
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
        from mlops_workbench.capture.run.models import log_model

        log_model(self._recorder, self._fits, self.uid, model, name, X, y)

    def finish(self, error: BaseException | None = None, *, traceback: str = "", output: str = "") -> None:
        """End the run as its code ended: FINISHED, FAILED by an exception, or KILLED by an interrupt or exit.

        Parameters
        ----------
        error : BaseException, optional
            What ended the code.
        traceback, output : str, optional
            See `end`.
        """
        status = "FINISHED" if error is None else "FAILED" if isinstance(error, Exception) else "KILLED"
        self.end(status, error=error, traceback=traceback, output=output)

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
        self._on_end(self.uid)
        self._write(
            RunEnd(
                self.uid,
                self.end_ms,
                status,
                error=self.error[-_TAIL:],
                # What is kept is cut from what was masked: a secret that is cut in two could not be told.
                traceback=mask(traceback[-2 * _TAIL :])[-_TAIL:],
                output=mask(output[-2 * _TAIL :])[-_TAIL:],
                complete=self._recorder.complete(self.uid),
            ),
            sync=self._wait,
        )
        if not self._wait:
            self._recorder.sync_soon()


def _headline(error: BaseException) -> str:
    """What a traceback says of the error itself, without the notes and further lines of its message."""
    lines = "".join(tracebacks.format_exception_only(error)).splitlines()
    return next((line for line in lines if line and not line[0].isspace()), type(error).__name__)
