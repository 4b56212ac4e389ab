"""The folder of a pipeline run: request, events and outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.pipelines.runs.earlier import upgraded
from mlops_workbench.pipelines.runs.requests import RunRequest

#: Name of the logs of a run and of its attempts.
EVENTS = "events.jsonl"

_Kind = TypeVar("_Kind", bound=msgspec.Struct)
#: Beside the events of an attempt.
TAIL = "output.txt"


class RunFolder:
    """Paths and files of one pipeline run.

    Parameters
    ----------
    path : Path
        The folder, named by the run's id.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def request(self) -> Path:
        """The request, which is the last file written before the run is started."""
        return self.path / "request.json"

    @property
    def events(self) -> Path:
        """Log of the run's events."""
        return self.path / EVENTS

    @property
    def log(self) -> Path:
        """Output of the runner process."""
        return self.path / "runner.log"

    @property
    def spec(self) -> Path:
        """Copy of the spec as it was run."""
        return self.path / "spec.yaml"

    @property
    def runner_lock(self) -> Path:
        """Lock that the runner holds for its life."""
        return self.path / "runner.lock"

    @property
    def resume_lock(self) -> Path:
        """Lock of the process that starts another runner."""
        return self.path / "resume.lock"

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.path / "stages" / name

    def copy(self, name: str) -> Path:
        """Copy of a stage's notebook with its values injected."""
        return self.stage(name) / "notebook.ipynb"

    def outputs(self, name: str) -> Path:
        """Folder for the outputs of a stage."""
        return self.stage(name) / "outputs"

    def attempt(self, name: str, number: int) -> Path:
        """Folder of an attempt at a stage, counted from 1."""
        return self.stage(name) / f"attempt-{number}"

    def executed(self, name: str, number: int) -> Path:
        """The notebook with the outputs of an attempt."""
        return self.attempt(name, number) / "executed.ipynb"

    def attempt_events(self, name: str, number: int) -> Path:
        """Log of the events of an attempt."""
        return self.attempt(name, number) / EVENTS

    def tail(self, name: str, number: int) -> Path:
        """The end of what the cells of a running attempt printed."""
        return self.attempt(name, number) / TAIL

    def read_request(self) -> RunRequest:
        """Read the request.

        Raises
        ------
        NotFound
            The run does not exist.
        StorageError
            The request cannot be read.
        """
        try:
            return read_struct(self.request, RunRequest, upgraded)
        except FileNotFoundError as error:
            raise unknown_run(self.path.name) from error


def unknown_run(run_id: str) -> NotFound:
    """The error for a run that does not exist."""
    return NotFound(f"there is no pipeline run '{run_id}'", hint="'mlops pipeline runs' lists them")


def write_struct(path: Path, value: msgspec.Struct) -> None:
    """Write a struct as JSON, atomically."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=1))


def read_struct(path: Path, kind: type[_Kind], upgrade: Callable[[Any], Any] | None = None) -> _Kind:
    """Read a struct from JSON; `upgrade` changes the JSON of earlier versions to the present form.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    StorageError
        The file cannot be read, or is not of this type.
    """
    try:
        data = path.read_bytes()
        if upgrade is not None:
            return msgspec.convert(upgrade(msgspec.json.decode(data)), kind)
        return msgspec.json.decode(data, type=kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(path)) from error
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror or error}", where=str(path)) from error
    except msgspec.DecodeError as error:
        raise StorageError(f"{path.name} is damaged: {error}", where=str(path)) from error
