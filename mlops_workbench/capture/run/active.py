"""An active run with the methods for user code."""

from __future__ import annotations

import os
import traceback as tracebacks
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.record.values import named
from mlops_workbench.capture.run.artifacts import artifact_path
from mlops_workbench.capture.run.state import RunState
from mlops_workbench.capture.run.tables import read_table
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import RunEnd
from mlops_workbench.core.secrets import mask

STATUSES = ("FINISHED", "FAILED", "KILLED")
_TAIL = 64 * 1024


class ActiveRun(RunState):
    """A run with the methods for user code; see `RunState` for its parameters and attributes."""

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **metrics: Any) -> None:
        """Log metrics.

        Parameters
        ----------
        values : mapping, optional
            Names to numbers, for names that are not Python identifiers: ``log({"val/auc": 0.9})``.
        step : int, optional
            Step of all of them; by default one more than the last step of these names, starting at 0.
        **metrics
            Names to numbers: ``log(auc=0.9)``.

        Raises
        ------
        InvalidInput
            A value is not a number, a name is not text, or the step is not an integer.
        """
        self.put_metrics(values, step, metrics)

    def log_param(self, name: str, value: Any) -> None:
        """Log one parameter."""
        self.log_params({name: value})

    def log_params(self, values: Mapping[str, Any] | None = None, /, **params: Any) -> None:
        """Log parameters."""
        self._put_params(named(values or {}, params), "logged")

    def log_figure(self, figure: Any, name: str = "") -> None:
        """Save a figure with the run: of matplotlib, plotly, or an object with a PNG or SVG representation.

        Parameters
        ----------
        figure : object
            The figure.
        name : str, optional
            File name under the run, by default ``figure.<format>``, with a number if it exists. For matplotlib,
            the extension selects the format.

        Raises
        ------
        InvalidInput
            The object is not a figure, or its format is unknown.
        """
        from mlops_workbench.capture.run.figures import drawing_of, render_figure

        files = render_figure(figure, artifact_path(name) if name else "")
        self._put_figures(self._figures.add(files, renumber=not name, drawing=drawing_of(figure)), wait=True)

    def log_table(self, data: Any, name: str = "table") -> None:
        """Save a table with the run, in the format of ``mlflow.load_table``.

        Parameters
        ----------
        data : table
            A DataFrame or Series of pandas or polars, an array, a dict of columns, or a list of dicts or rows.
            The index is saved as columns, unless it only numbers the rows.
        name : str, default="table"
            File name under the run; ``.json`` is appended. A table of the same name is replaced.

        Raises
        ------
        InvalidInput
            The object is not a table, or the path is outside of the run.
        """
        self.put_table(read_table(data), artifact_path(name), wait=True)

    def log_dataset(
        self, data: Any, name: str = "", *, context: str = "training", source: str = "", snapshot: bool | None = None
    ) -> None:
        """Record the data that the run used: version, shape, columns and a profile.

        Parameters
        ----------
        data : table or path
            A DataFrame, Series, ndarray, scipy sparse matrix, polars or pyarrow table, list of rows, tensor, dataset
            or loader of tensors, or the path of a file or folder.
        name : str, optional
            Name, by default the file's name or ``data``.
        context : str, default="training"
            Use of the data: ``training``, ``validation``, ``test``, ...
        source : str, optional
            Origin of the data.
        snapshot : bool, optional
            Save the data as Parquet; by default the setting ``capture.snapshot`` in ``workbench.toml`` decides. A
            table with columns of secrets is saved on request only, in the workspace and not in MLflow. In a notebook it
            is read back and compared after the reply to the cell, and reported there if it differs.

        Raises
        ------
        InvalidInput
            The data is neither a table nor an existing file, or the requested snapshot cannot be saved as Parquet.
        """
        from mlops_workbench.capture.run.datasets import digest_seconds, keep_with_run
        from mlops_workbench.data.describe import describe_dataset
        from mlops_workbench.data.tables.tensors import readable

        data = readable(data)
        seconds = digest_seconds(self._recorder)
        try:
            dataset = describe_dataset(self.uid, data, name, context=context, source=source, seconds=seconds)
        except WorkbenchError:
            raise
        except Exception as error:  # of objects in the data, or of their library
            raise InvalidInput(
                f"the data '{name or 'data'}' cannot be read: {type(error).__name__}: {error}",
                hint="pass a table, an array or a file that can be read again",
            ) from error
        try:
            dataset = keep_with_run(self._recorder, dataset, data, snapshot=snapshot, later=self.observe_dataset)
        finally:
            # Also when the requested snapshot is refused.
            self.observe_dataset(dataset)

    def log_model(
        self,
        model: Any,
        name: str = "model",
        *,
        X: Any = None,
        y: Any = None,
        X_test: Any = None,
        y_test: Any = None,
    ) -> None:
        """Save a fitted model with its signature, so that it can be registered and served.

        Parameters
        ----------
        model : estimator
            A fitted model. It is saved with skops or, if that fails, with cloudpickle and a warning. Models of
            XGBoost, LightGBM and CatBoost and networks of PyTorch and Keras are saved in the format of their
            library, in the MLflow flavor for it.
        name : str, default="model"
            Name of the model within the run.
        X, y : DataFrame, Series or ndarray, optional
            Training data, for the signature, the input example and the reference of monitors;
            by default the data on which the cell was observed to fit the model.
        X_test, y_test : DataFrame, Series or ndarray, optional
            Rows that it was not fitted on, on which a gate compares it with the champion; by default the data that
            the cell was observed to compare its predictions with.

        Raises
        ------
        InvalidInput
            The object is not a model or not fitted, or X and y have different lengths.
        """
        from mlops_workbench.capture.run.models import log_model

        log_model(self._recorder, self._fits, self.uid, model, name, (X, y), (X_test, y_test))

    def finish(self, error: BaseException | None = None, *, traceback: str = "", output: str = "") -> None:
        """End the run as FINISHED, as FAILED by an exception, or as KILLED by an interrupt or exit; see `end`."""
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
        """End the run; calls for an ended run, or in a forked child, do nothing.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}
            Final status.
        error : exception or str, optional
            The error; an exception also gives the traceback.
        traceback : str, optional
            Traceback as text.
        output : str, optional
            Last part of the printed output.
        end_ms : int, optional
            Time of the end, ms since the epoch; by default now.
        """
        if status not in STATUSES:
            raise InvalidInput(f"'{status}' is not a status of a run", hint=f"use one of {', '.join(STATUSES)}")
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
                # Masked before it is cut, since a secret that is cut in two is not recognized.
                traceback=mask(traceback[-2 * _TAIL :])[-_TAIL:],
                output=mask(output[-2 * _TAIL :])[-_TAIL:],
                complete=self._recorder.complete(self.uid),
            ),
            sync=self._wait,
        )
        if not self._wait:
            self._recorder.sync_soon()


def _headline(error: BaseException) -> str:
    """Return type and first line of an error, as in a traceback."""
    lines = "".join(tracebacks.format_exception_only(error)).splitlines()
    return next((line for line in lines if line and not line[0].isspace()), type(error).__name__)
