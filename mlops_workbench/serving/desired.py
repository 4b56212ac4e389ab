"""The state files of an endpoint: its desired state and its observed state.

``<workspace>/.mlops/endpoints/<name>/desired.json`` is written by deployments and read by the endpoint's process;
``observed.json`` the other way round. Both are written atomically. The process needs nothing else to start, so an
endpoint keeps serving, and can restart, without a control plane.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import put_aside, write_atomic
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.settings import ServingSettings

DESIRED = "desired.json"
OBSERVED = "observed.json"
LOCK = "process.lock"
LOG = "endpoint.log"
#: In the folder of the predictions; readers of the segments pass over it.
JOURNAL = ".journal"

_DEFAULTS = ServingSettings()

ProcessState = Literal["starting", "ready", "failed", "stopped"]


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The desired state.

    Attributes
    ----------
    name, model
        Endpoint, and the registered model that it serves.
    reference : str
        The model as the user named it, with its alias or version; empty in a file of version 0.1.
    version, folder
        Version to serve, and its exported folder.
    digest : str
        Digest of that version's files, see :attr:`Manifest.digest`; empty in a file of version 0.1.
    previous, previous_folder, previous_digest
        Version to keep loaded for a rollback; 0 and empty for none.
    generation : int
        Incremented with every change; `Observed` has the last one that was applied.
    port, fixed_port
        Port to listen on, 0 for any; whether it is set by the user or only preferred.
    wanted : bool
        False when the process must end.
    settings : ServingSettings
        Host, token, limits and log of the process, whose change needs a restart; and what may be loaded.
    predictions, feedback : str
        Folders of this endpoint's prediction log and feedback.
    personal, personal_in_log
        Patterns of personal columns, and what becomes of them in the log: ``hash`` or ``drop``.
    log_key : str
        File with the key of these hashes.
    """

    name: str
    model: str
    version: int
    folder: str
    generation: int
    predictions: str
    feedback: str
    previous: int = 0
    previous_folder: str = ""
    reference: str = ""
    digest: str = ""
    previous_digest: str = ""
    port: int = 0
    fixed_port: bool = False
    wanted: bool = True
    settings: ServingSettings = ServingSettings()
    personal: list[str] = []
    personal_in_log: Literal["hash", "drop"] = "hash"
    log_key: str = ""

    @property
    def process_key(self) -> str:
        """Digest of the settings that need a restart."""
        # What may be loaded is asked for each version; a spare process is none of an endpoint.
        loading = ("allow_pickle", "allow_pyfunc", "trusted_types", "trusted_keys", "require_signature")
        settings = msgspec.structs.replace(
            self.settings, **{name: getattr(_DEFAULTS, name) for name in (*loading, "spare_process")}
        )
        # The number is that of what desired and observed state mean to each other.
        fixed: tuple[object, ...] = (
            *(4, settings, self.predictions, self.feedback),
            self.port if self.fixed_port else 0,
        )
        if self.personal:
            fixed += (self.personal, self.personal_in_log, self.log_key)
        return hashlib.sha256(msgspec.json.encode(fixed)).hexdigest()[:16]


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The observed state.

    Attributes
    ----------
    process : ProcessIdentity
        The process that wrote the file.
    process_key : str
        `Desired.process_key` it started with.
    state : str
        starting, ready (a version is served), failed (none is, or the process could not start), stopped.
    generation : int
        Last generation that was applied, or failed.
    error : str
        Why the last generation failed, empty if it did not.
    url, port
        Where it listens.
    version, previous
        Loaded versions: the one that is served, and the previous one.
    digest : str
        Digest of the version that is served.
    runtime, uncompiled : str
        What answers, see :attr:`Runtime.platform`; why the model is not compiled, empty if it is.
    workers : list of int
        Processes that answer requests.
    since_ms, updated_ms : int
        Since when the version is served; when the file was written.
    requests, rows, errors, log_written, log_dropped : int
        Counts of this process.
    p50_ms, p95_ms, p99_ms : float or None
        Latency of recent answers.
    rate : float or None
        Requests a second in the last ten seconds.
    """

    process: ProcessIdentity
    process_key: str = ""
    state: ProcessState = "starting"
    generation: int = 0
    error: str = ""
    url: str = ""
    port: int = 0
    version: int = 0
    previous: int = 0
    digest: str = ""
    runtime: str = ""
    uncompiled: str = ""
    workers: list[int] = []
    since_ms: int = 0
    updated_ms: int = 0
    requests: int = 0
    rows: int = 0
    errors: int = 0
    log_written: int = 0
    log_dropped: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    rate: float | None = None
    p99_ms: float | None = None


def read_desired(folder: Path) -> Desired:
    """Read ``desired.json``.

    Raises
    ------
    StorageError
        The file is missing or damaged.
    """
    file = folder / DESIRED
    try:
        return msgspec.json.decode(file.read_bytes(), type=Desired)
    except OSError as error:
        raise StorageError(
            f"cannot read the desired state: {error.strerror}", where=str(file), hint="deploy with 'mlops deploy'"
        ) from error
    except msgspec.DecodeError as error:
        raise StorageError(f"the desired state is damaged: {error}", where=str(file), hint="deploy again") from error


def write_desired(folder: Path, desired: Desired) -> None:
    """Write ``desired.json``, readable only by its owner since it contains the token."""
    _write(folder / DESIRED, msgspec.json.encode(desired))


def read_observed(folder: Path) -> Observed | None:
    """Read ``observed.json``; None if it is missing or of another version."""
    try:
        return msgspec.json.decode((folder / OBSERVED).read_bytes(), type=Observed)
    except (OSError, msgspec.DecodeError):
        return None


def write_observed(folder: Path, observed: Observed) -> None:
    """Write ``observed.json``."""
    _write(folder / OBSERVED, msgspec.json.encode(observed))


def _write(path: Path, data: bytes) -> None:
    if path.is_dir():
        put_aside(path)
    write_atomic(path, data, mode=0o600)
