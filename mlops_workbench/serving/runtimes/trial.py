"""A process of its own that loads a model, before or instead of one that answers requests.

XGBoost, LightGBM and CatBoost read their files with compiled code. A damaged or forged file can make XGBoost read
foreign memory, and LightGBM end the process or never return; no exception reports it. Other models may run code of
their own. What the process does is in :mod:`mlops_workbench.serving.dry_run`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from mlops_workbench.core.releases import ReplayReport
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.handover import take
from mlops_workbench.serving.model_tests import TestResult

_SECONDS = 120.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class DryRunRequest(msgspec.Struct, frozen=True):
    """A dry run that is asked for.

    Attributes
    ----------
    folder : str
        Exported version.
    settings : ServingSettings
        What may be loaded.
    digest : str
        Digest that its files must have; empty for any.
    modules : list of str
        Path on which modules are searched, besides that of the installation.
    is_timed : bool
        Whether requests are timed.
    has_tests : bool
        Whether its tests are run.
    tested : str
        Exported version of another model, whose test rows are answered; empty for none.
    answers : str
        Parquet file to write these answers to.
    replayed : str
        Parquet file with logged rows to answer again; empty for none.
    personal : list of str
        Patterns of the names of personal columns, of which the log has no values.
    replay_seconds : float
        Longest time for these answers.
    """

    folder: str
    settings: ServingSettings
    digest: str = ""
    modules: list[str] = []
    is_timed: bool = False
    has_tests: bool = False
    tested: str = ""
    answers: str = ""
    replayed: str = ""
    personal: list[str] = []
    replay_seconds: float = 20.0


class DryRun(msgspec.Struct, frozen=True):
    """What a dry run found.

    Attributes
    ----------
    problem : str
        Why an endpoint would refuse the version; empty if it would serve it.
    crashed : bool
        Whether the process ended without a result, or took too long.
    rows : dict of str to int
        Compared rows of the golden set by their kind.
    runtime, uncompiled : str
        What answers requests, and why it is no compiled form of the model; empty if it is one.
    requests : int
        Timed requests of one row; 0 without a row to ask about.
    p50_ms, p95_ms : float
        Their times in milliseconds, from the body of the request to that of the answer.
    untimed : str
        Why requests were not timed; empty if they were, or were not asked for.
    tests : list of TestResult
        Results of its tests.
    unanswered : str
        Why the test rows of the other model have no answers; empty if they have.
    replay : ReplayReport, optional
        How it answered the logged rows, without endpoint, version and time.
    """

    problem: str = ""
    crashed: bool = False
    rows: dict[str, int] = {}
    runtime: str = ""
    uncompiled: str = ""
    requests: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    untimed: str = ""
    tests: list[TestResult] = []
    unanswered: str = ""
    replay: ReplayReport | None = None


class RunDry(Protocol):
    """Does a dry run within so many seconds."""

    def __call__(self, request: DryRunRequest, *, seconds: float) -> DryRun:
        """Do it."""


def run_dry(
    request: DryRunRequest,
    *,
    cwd: Path | None = None,
    seconds: float = _SECONDS,
    lend: Callable[[str], int] | None = None,
) -> DryRun:
    """Do a dry run in another process.

    Parameters
    ----------
    request : DryRunRequest
        What is asked for; the process gets no token.
    cwd : Path, optional
        Its working folder, by default that of this process.
    seconds : float
        Longest time, in which the libraries are imported.
    lend : callable, optional
        Makes a process that has imported them connect to the socket at a path, see :func:`take`; without one, or if
        there is none, a process is started.
    """
    request = msgspec.structs.replace(request, settings=msgspec.structs.replace(request.settings, token=""))
    body = msgspec.json.encode(request)
    deadline = time.monotonic() + seconds
    try:
        if lend is not None and (found := _asked(lend, cwd or Path.cwd(), body, deadline)) is not None:
            return found
        # Also after a copy that ended without a result: of a process of its own the system says why.
        return _started(cwd, body, deadline)
    except (subprocess.TimeoutExpired, TimeoutError):
        return DryRun(f"the model did not load within {seconds:.0f} s", crashed=True)
    except OSError as error:
        return DryRun(f"the process that loads the model cannot be started: {error}", crashed=True)


def _asked(lend: Callable[[str], int], cwd: Path, body: bytes, deadline: float) -> DryRun | None:
    """What a process that is lent answers; None if there is none, or it ends without a result."""
    output = bytearray()
    with tempfile.TemporaryFile() as errors:
        # No other one would have imported the libraries sooner.
        taken = take(lend, cwd, environment_for_models(), errors, deadline - time.monotonic())
        if taken is None:
            return None
        with taken.stdin, taken.stdout, selectors.DefaultSelector() as selector:
            try:
                with contextlib.suppress(BrokenPipeError), taken.stdin:
                    taken.stdin.write(body)
                selector.register(taken.stdout, selectors.EVENT_READ)
                while (left := deadline - time.monotonic()) > 0 and selector.select(left):
                    part = os.read(taken.stdout.fileno(), 1 << 16)
                    if not part:
                        break
                    output += part
                else:
                    raise TimeoutError
            finally:
                taken.process.stop(grace=0.0)
    try:
        return msgspec.json.decode(output, type=DryRun)
    except msgspec.DecodeError:
        return None


def _started(cwd: Path | None, body: bytes, deadline: float) -> DryRun:
    """What a process that is started answers."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mlops_workbench.serving.dry_run"],
        input=body,
        capture_output=True,
        timeout=max(deadline - time.monotonic(), 0.0),
        cwd=cwd,
        env=environment_for_models(),
        # What it does to its group must not reach this process.
        start_new_session=True,
        check=False,
    )
    ended = "the model ended the process that loaded it"
    if done.returncode < 0:
        return DryRun(f"{ended} ({signal.Signals(-done.returncode).name})", crashed=True)
    try:
        return msgspec.json.decode(done.stdout, type=DryRun)
    except msgspec.DecodeError:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        return DryRun(f"{ended}: {lines[-1][:300]}", crashed=True)


def environment_for_models() -> dict[str, str]:
    """Environment of a process that loads models.

    A model that is loaded must not find the key that signs models. There is one thread for each library: a request is
    served by one core, and thread pools would slow each other down.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "MLOPS_SIGNING_KEY"}
    return {**dict.fromkeys(_THREADS, "1"), **inherited}


def try_model(folder: Path, digest: str, settings: ServingSettings, seconds: float = _SECONDS) -> None:
    """Load a model and ask it about its golden set in another process.

    What is refused there by an exception is not reported: the load in this process will raise it again.

    Parameters
    ----------
    folder : Path
        A verified model folder.
    digest : str
        Its digest; the trial must be of the same files.
    settings : ServingSettings
        Settings of the endpoint.
    seconds : float
        Longest time.

    Raises
    ------
    InvalidModel
        The model ended the process, or took too long.
    """
    found = run_dry(DryRunRequest(str(folder), settings, digest, list(sys.path)), seconds=seconds)
    if found.crashed:
        hint = "the file is damaged or forged; register the model again"
        raise InvalidModel(found.problem, where=str(folder), hint=hint)
