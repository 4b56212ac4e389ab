"""Scores files in a process of its own, since loading a model may run its code."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.serving.runtimes.trial import one_thread
from mlops_workbench.serving.scoring.request import Failed, Report, Scored, ScoringProgress, ScoringRequest

_PATIENCE = 10.0
_SUFFIXES = (".parquet", ".csv")


def input_paths(words: list[str], output: Path, *, force: bool = False) -> list[Path]:
    """Return the files that are meant, those of folders in the order of their names.

    Parameters
    ----------
    words : list of str
        Files and folders.
    output : Path
        The file that will be written.
    force : bool
        Whether it may replace another one.

    Raises
    ------
    InvalidInput
        A file is missing, a folder has none, or the output is in the way.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"the output '{output}' must end with .parquet or .csv", hint="the last file is the output")
    if output.is_dir():
        raise InvalidInput(f"the output '{output}' is a folder", hint="give the name of a file")
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            if output.resolve().is_relative_to(path.resolve()):
                raise InvalidInput(f"the output '{output}' is in the input folder '{word}'", hint="write elsewhere")
            files = sorted(
                one
                for one in path.rglob("*")
                if one.suffix.lower() in _SUFFIXES
                and one.is_file()
                and not any(part.startswith((".", "_")) for part in one.relative_to(path).parts)
            )
            if not files:
                raise InvalidInput(f"the folder '{word}' has no Parquet or CSV file")
            found += files
        elif path.is_file():
            if path.suffix.lower() not in _SUFFIXES:
                raise InvalidInput(
                    f"'{word}' is neither Parquet nor CSV", hint="its name must end with .parquet or .csv"
                )
            found.append(path)
        else:
            raise InvalidInput(f"no file '{word}'", hint="give Parquet or CSV files, or a folder of them")
    if not found:
        raise InvalidInput(
            "no input is named", hint="write --batch IN.parquet OUT.parquet; the last file is the output"
        )
    # With absolute paths, since the process has another working folder.
    found = [path.absolute() for path in found]
    if any(path.resolve() == output.resolve() for path in found):
        raise InvalidInput(f"'{output}' is an input, too", hint="write to another file")
    if output.exists() and not force:
        raise InvalidInput(f"'{output}' exists", hint="--force replaces it")
    return found


class ScoringProcess:
    """The process, which imports its libraries while the caller finds out what to ask.

    Parameters
    ----------
    cwd : Path
        Its working folder.
    """

    def __init__(self, cwd: Path) -> None:
        # A model that is loaded must not find the key that signs models.
        environment = {name: value for name, value in os.environ.items() if name != "MLOPS_SIGNING_KEY"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlops_workbench.serving.scoring"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=cwd,
            env={**one_thread(), **environment},
        )

    def __enter__(self) -> ScoringProcess:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
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
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(msgspec.json.encode(request))
        for line in process.stdout:
            found = msgspec.json.decode(line, type=Report)
            if isinstance(found, ScoringProgress):
                report(found)
                continue
            if isinstance(found, Failed):
                raise WorkbenchError.from_dict(found.error)
            return found
        code = process.wait(_PATIENCE)
        self._errors.seek(0)
        last = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Unavailable(
            f"the process that answers the rows has ended (exit code {code}){': ' if last else ''}{''.join(last)}",
            hint="nothing was written",
        )
