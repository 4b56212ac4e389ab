"""Functions for user code: ``track``, ``log`` and others."""

from __future__ import annotations

import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.place import cell_source, execution
from mlops_workbench.capture.progress import progress
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.context import ObservedRun, enter_run, leave_run, run_of_context
from mlops_workbench.capture.session.session import current_session
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.tags import NOTE


class track:
    """A run around a block or a function.

    ``with track("name") as run:`` makes the block a run; ``@track`` or ``@track("name")`` makes every call of
    a function a run, with its arguments as parameters. A block inside another one is its child. An exception
    ends the run as FAILED, an interrupt or exit as KILLED; it is not suppressed. In a notebook, what a block does is
    observed as in a cell with ``%%track``, and of the blocks of one execution the best model is kept.

    Parameters
    ----------
    name : str, optional
        Name of the run; by default the function's name, or one made from the run's id.
    experiment : str, optional
        By default that of the enclosing run, else the current one.
    params : mapping, optional
        Initial parameters.
    tags : mapping, optional
        Tags.
    note : str, optional
        Description.

    Examples
    --------
    >>> with track("baseline", tags={"team": "ops"}) as run:
    ...     run.log(mae=12.5)
    """

    #: ``for item in track.progress(items):`` shows the progress of a loop, inside or outside of a run.
    progress = staticmethod(progress)

    def __new__(cls, name: Any = "", /, **options: Any) -> Any:
        """Decorate at once when used without parentheses."""
        tracker = super().__new__(cls)
        if callable(name):
            tracker.__init__("", **options)  # type: ignore[misc]
            return tracker(name)
        return tracker

    def __init__(
        self,
        name: str = "",
        /,
        *,
        experiment: str = "",
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> None:
        if not isinstance(name, str):
            raise InvalidInput(f"the name of a run must be text, not {name!r}", hint='track("name")')
        self._name = name
        self._experiment = experiment
        self._params = params
        self._tags = {**(tags or {}), **({NOTE: note} if note else {})}
        self._open: list[tuple[ActiveRun, Any, ObservedRun | None]] = []

    def __enter__(self) -> ActiveRun:
        run = self._start(self._name, cell_source(), {})
        observer = current_session().observer
        block = observer.block(run, sys._getframe(1)) if observer is not None else None
        self._open.append((run, enter_run(run), block))
        return run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        run, token, block = self._open.pop()
        leave_run(token)
        if block is not None:
            block.end(sys._getframe(1), error)
        run.finish(error)
        if block is not None:
            block.keep()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make every call of `function` a run."""
        name = self._name or function.__name__
        signature = _signature(function)
        source = _source(function)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked(*args: Any, **kwargs: Any) -> Any:
                with self._call(name, source, function, signature, args, kwargs) as call:
                    call.result = await function(*args, **kwargs)
                    return call.result

        else:

            @functools.wraps(function)
            def tracked(*args: Any, **kwargs: Any) -> Any:
                with self._call(name, source, function, signature, args, kwargs) as call:
                    call.result = function(*args, **kwargs)
                    return call.result

        return tracked

    def _start(self, name: str, source: str, params: Mapping[str, Any]) -> ActiveRun:
        session = current_session()
        parent = session.current_run()
        run = session.start_run(
            name,
            experiment=self._experiment or (parent.experiment if parent else ""),
            parent_uid=parent.uid if parent else "",
            tags=self._tags,
            source=source,
            ambient=False,
        )
        if given := {**params, **(self._params or {})}:
            run.log_params(given)
        return run

    def _call(
        self,
        name: str,
        source: str,
        function: Callable[..., Any],
        signature: inspect.Signature | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> _Call:
        arguments = _bound(signature, args, kwargs)
        return _Call(self._start(name, source, _settings(arguments)), function, arguments)


class _Call:
    """A call of a tracked function; calls in threads and tasks may overlap."""

    def __init__(self, run: ActiveRun, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.result: Any = None
        self._run = run
        self._token: Any = None
        observer = current_session().observer
        self._observed = observer.call(run, function, arguments) if observer is not None else None

    def __enter__(self) -> _Call:
        self._token = enter_run(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        leave_run(self._token)
        if self._observed is not None:
            self._observed.end(self.result, error)
        self._run.finish(error)
        if self._observed is not None:
            self._observed.keep()


def log(values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **metrics: Any) -> None:
    """Log metrics to the current run: ``log(auc=0.9)``, ``log({"val/auc": 0.9}, step=3)``.

    See `ActiveRun.log`. Outside a run nothing is recorded and a warning is shown.
    """
    run = run_of_context()
    if run is None or run.ended:
        run = current_session().current_run()
        if run is None:
            _outside("log")
            return
    run.put_metrics(values, step, metrics)


def log_param(name: str, value: Any) -> None:
    """Log one parameter to the current run."""
    if run := _run("log_param"):
        run.log_param(name, value)


def log_params(values: Mapping[str, Any] | None = None, /, **params: Any) -> None:
    """Log parameters to the current run: ``log_params(depth=6)`` or ``log_params({...})``."""
    if run := _run("log_params"):
        run.log_params(values, **params)


def log_figure(figure: Any, name: str = "") -> None:
    """Save a figure with the current run; see `ActiveRun.log_figure`."""
    if run := _run("log_figure"):
        run.log_figure(figure, name)


def log_table(data: Any, name: str = "table") -> None:
    """Save a table with the current run; see `ActiveRun.log_table`."""
    if run := _run("log_table"):
        run.log_table(data, name)


def log_artifact(source: Any, name: str = "", *, kind: str = "file", media_type: str = "") -> None:
    """Save a file, a folder or bytes with the current run; see `ActiveRun.log_artifact`."""
    if run := _run("log_artifact"):
        run.log_artifact(source, name, kind=kind, media_type=media_type)


def log_model(
    model: Any, name: str = "model", *, X: Any = None, y: Any = None, X_test: Any = None, y_test: Any = None
) -> None:
    """Save a fitted model with the current run; see `ActiveRun.log_model`."""
    if run := _run("log_model"):
        run.log_model(model, name, X=X, y=y, X_test=X_test, y_test=y_test)


def log_dataset(
    data: Any, name: str = "", *, context: str = "training", source: str = "", snapshot: bool | None = None
) -> None:
    """Record the data that the current run used; see `ActiveRun.log_dataset`."""
    if run := _run("log_dataset"):
        run.log_dataset(data, name, context=context, source=source, snapshot=snapshot)


def tag(values: Mapping[str, Any] | str | None = None, value: Any = None, /, **tags: Any) -> None:
    """Set tags of the current run: ``tag(stage="draft")`` or ``tag("stage", "draft")``."""
    if run := _run("tag"):
        run.tag(values, value, **tags)


def set_experiment(name: str) -> None:
    """Set the experiment of new runs of this process.

    Raises
    ------
    InvalidInput
        The name is empty, longer than 250 characters, or not one line of text.
    """
    current_session().experiment = name


def current_experiment() -> str:
    """Return the experiment of new runs of this process."""
    return current_session().experiment


def save_model_of_run(run: str) -> bool:
    """Save the model that an ended run of this session fitted.

    Parameters
    ----------
    run : str
        Uid of the run, or a name, which stands for the latest run of that name.

    Returns
    -------
    bool
        False when the model is not in memory, was saved already, or could not be stored.

    Raises
    ------
    InvalidInput
        What the run fitted cannot predict.
    """
    from mlops_workbench.capture.observe.estimators import LACKING_HINT

    session = current_session()
    if why := session.models.fits.lacks(run):
        raise InvalidInput(f"the run '{run}' has no model to register: {why}", hint=LACKING_HINT)
    return session.models.save(run)


def _run(function: str) -> ActiveRun | None:
    run = current_session().current_run()
    if run is None:
        _outside(function)
    return run


def _outside(function: str) -> None:
    notify(
        f"{function}() was called outside a run, so nothing was recorded.\n"
        "  Start the cell with '%%track NAME', or put the code inside 'with track(\"NAME\"):'",
        once=f"outside {execution()}",
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _source(function: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return cell_source()


def _bound(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    try:
        bound = signature.bind(*args, **kwargs) if signature is not None else None
    except TypeError:
        return {}  # The call itself raises the error.
    if bound is None:
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are settings, without tables and objects."""
    simple = (bool, int, float, str, type(None), list, tuple, dict)
    return {
        name: value
        for name, value in arguments.items()
        if isinstance(value, simple) and name not in ("self", "cls") and value not in ((), {})
    }
