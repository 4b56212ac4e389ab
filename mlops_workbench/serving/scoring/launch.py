"""Scores files in a process of its own, since loading a model may run its code."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.serving.handover import take
from mlops_workbench.serving.runtimes.trial import environment_for_models
from mlops_workbench.serving.scoring.request import Failed, Report, Scored, ScoringProgress, ScoringRequest

_PATIENCE = 10.0


class ScoringProcess:
    """The process, which imports its libraries while the caller finds out what to ask.

    Parameters
    ----------
    cwd : Path
        Its working folder.
    lend : callable, optional
        Makes a process that has imported them connect to the socket at a path, and returns its id; 0 for none.
    """

    def __init__(self, cwd: Path, lend: Callable[[str], int] | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._spawned: subprocess.Popen[bytes] | None = None
        taken = take(lend, cwd, environment_for_models(), self._errors) if lend is not None else None
        if taken is None:
            self._spawned = process = _spawn(cwd, self._errors)
            assert process.stdin is not None
            assert process.stdout is not None
            self._process, self._stdin, self._stdout = ProcessIdentity.of(process.pid), process.stdin, process.stdout
        else:
            self._process, self._stdin, self._stdout = taken.process, taken.stdin, taken.stdout
        self._is_done = False

    def __enter__(self) -> ScoringProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and not self._is_done:
            self._process.stop(grace=_PATIENCE)
        if self._spawned is not None:
            try:
                self._spawned.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._spawned.kill()
                self._spawned.wait()
        for stream in (self._stdin, self._stdout, self._errors):
            # Its end may be gone with what was not sent.
            with contextlib.suppress(OSError):
                stream.close()

    def run(self, request: ScoringRequest, report: Callable[[ScoringProgress], None]) -> Scored:
        """Score files.

        Parameters
        ----------
        request : ScoringRequest
            What is asked for; the process gets no token.
        report : callable
            Called about twice a second.

        Raises
        ------
        WorkbenchError
            Why nothing was written.
        """
        request = msgspec.structs.replace(request, settings=msgspec.structs.replace(request.settings, token=""))
        with contextlib.suppress(BrokenPipeError), self._stdin as stdin:
            stdin.write(msgspec.json.encode(request))
        for line in self._stdout:
            found: Report = msgspec.json.decode(line, type=Report)
            if isinstance(found, ScoringProgress):
                report(found)
                continue
            self._is_done = True
            if isinstance(found, Failed):
                raise WorkbenchError.from_dict(found.error)
            return found
        code = "" if self._spawned is None else f" (exit code {self._spawned.wait(_PATIENCE)})"
        self._errors.seek(0)
        last = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Unavailable(
            f"the process that answers the rows has ended{code}{': ' if last else ''}{''.join(last)}",
            hint="nothing was written",
        )


def _spawn(cwd: Path, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: a file in the working folder must not shadow an installed module.
        [sys.executable, "-P", "-m", "mlops_workbench.serving.scoring"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=cwd,
        env=environment_for_models(),
    )
