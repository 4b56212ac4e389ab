"""Keeps endpoint processes in their desired state; may itself be killed at any time."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.errors import Conflict, NotFound, StorageError, Unavailable, WorkbenchError
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.models import model_name
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.tokens import hashed
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.endpoint_folder import EndpointFolder, send
from mlops_workbench.deployments.endpoint_record import EndpointRecord
from mlops_workbench.deployments.reconcile import (
    GRACE_SECONDS,
    EndpointState,
    decide,
    describe,
    pause_after,
)
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.serving.desired import JOURNAL, Desired

log = logging.getLogger("mlops_workbench.deployments")

#: Seconds between two looks at a lock whose holder cannot be waited for.
_LOOK_SECONDS = 0.1

ModelFolderOf = Callable[[str, int], Path]


class EndpointFailed(Conflict):
    """An endpoint could not reach its desired state."""

    code = "endpoint_failed"


class Supervisor:
    """Starts, updates, adopts, restarts and stops the endpoints of a workspace.

    The state is in the endpoints' folders: a new supervisor finds running endpoints by their reports and adopts them;
    the lock that each process holds prevents a second process.

    Parameters
    ----------
    workspace : Workspace
        Owner of the endpoints.
    spare : Spare, optional
        A process that is ready sooner if an endpoint is started in the next minutes.
    """

    def __init__(self, workspace: Workspace, spare: Spare | None = None) -> None:
        self._workspace = workspace
        self._records: dict[str, EndpointRecord] = {}
        self._reconciling = threading.Lock()
        self.spare = spare or Spare(workspace)

    def reconcile(self, specs: Sequence[EndpointSpec], model_folder: ModelFolderOf) -> None:
        """Take the next action for every endpoint, without waiting for its effect.

        Parameters
        ----------
        specs : sequence of EndpointSpec
            All endpoints; a running one that is not among them is stopped.
        model_folder : callable
            Returns the folder of a registered model's version, exported if necessary.
        """
        with self._reconciling:
            wanted = {spec.name: spec for spec in specs}
            for name in self.running() - wanted.keys():
                wanted[name] = self._leftover(name)
            for spec in wanted.values():
                record = self._records.setdefault(spec.name, EndpointRecord(spec))
                if record.spec != spec:
                    record.spec = spec
                    record.problem, record.next_export, record.export_failures = "", 0.0, 0
                try:
                    self._step(spec, record, model_folder)
                except WorkbenchError as error:
                    # A failure of one endpoint is reported with it, and must not affect the others.
                    if record.problem != str(error):
                        log.warning("endpoint '%s': %s", spec.name, error)
                    record.problem = str(error)
            for name in self._records.keys() - wanted.keys():
                del self._records[name]
            self.spare.reap()
            # The process of an endpoint that starts has the processor for itself.
            if self.spare.is_due and not any(self._is_starting(record.spec) for record in self._records.values()):
                self.spare.renew()

    def _is_starting(self, spec: EndpointSpec) -> bool:
        return self.observe(spec).state in ("starting", "updating")

    def observe(self, spec: EndpointSpec) -> Endpoint:
        """The present state of an endpoint."""
        record = self._records.get(spec.name)
        problem = record.problem if record is not None and record.spec == spec else ""
        return describe(spec, self._actual(spec.name, record), problem)

    def log(self, name: str, lines: int, after: int) -> tuple[str, int]:
        """Lines of the log of an endpoint's process, see :meth:`EndpointFolder.read_log`."""
        return self._folder(name).read_log(lines, after)

    def wait(self, name: str, version: int, timeout: float) -> Endpoint:
        """Wait until an endpoint serves a version; another thread must call `reconcile` meanwhile.

        Raises
        ------
        EndpointFailed
            The endpoint cannot serve the version; the message is its own.
        NotFound
            There is no such endpoint.
        Unavailable
            It takes longer than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            record = self._records.get(name)
            endpoint = None
            if record is not None and record.spec.version == version:
                endpoint = self.observe(record.spec)
                if endpoint.state == "ready":
                    return endpoint
                if endpoint.state == "failed":
                    raise EndpointFailed(
                        f"endpoint '{name}' cannot serve version {version}: {endpoint.message}", where=name
                    )
            if time.monotonic() > deadline:
                if record is None:
                    raise NotFound(f"there is no endpoint '{name}'", hint="'mlops endpoints' lists them")
                state = f"{endpoint.state}: {endpoint.message}" if endpoint else "not updated yet"
                raise Unavailable(
                    f"endpoint '{name}' does not serve version {version} after {timeout:g} s ({state})",
                    hint="'mlops endpoints' shows its state",
                )
            time.sleep(0.05)

    def forget(self, name: str) -> None:
        """Delete the state files of a stopped endpoint: a later one of its name is another endpoint."""
        with self._reconciling:
            self._records.pop(name, None)
            self._folder(name).clear()

    def wait_for_end(self, timeout: float) -> bool:
        """Wait for the end of an endpoint's process; False when none has ended after `timeout` seconds."""
        if not hasattr(os, "pidfd_open"):
            # Not Linux: the next regular step notices it.
            time.sleep(timeout)
            return False
        deadline = time.monotonic() + timeout
        while True:
            poll = select.poll()
            with contextlib.ExitStack() as descriptors:
                # A process that is gone while its lock is still held: it is just ending, or a child of it has the lock.
                unclear = False
                for name, record in list(self._records.items()):
                    process = self._process_of(name, record)
                    if process is None and record.was_alive:
                        if not self._folder(name).is_locked():
                            return True
                        unclear = True
                    with contextlib.suppress(OSError):
                        if process is not None:
                            descriptor = os.pidfd_open(process.pid)
                            descriptors.callback(os.close, descriptor)
                            poll.register(descriptor, select.POLLIN)
                left = max(deadline - time.monotonic(), 0.0)
                if poll.poll(min(left, _LOOK_SECONDS if unclear else left) * 1000):
                    return True
            if time.monotonic() >= deadline:
                return False

    def stop_all(self) -> None:
        """End every endpoint process and wait for it; desired states do not change."""
        with self._reconciling:
            running = []
            for name in sorted(self.running()):
                process = self._process_of(name, self._records.get(name))
                if process is not None:
                    send(process, signal.SIGTERM)
                    running.append(process)
            deadline = time.monotonic() + GRACE_SECONDS
            for process in running:
                process.stop(grace=max(deadline - time.monotonic(), 0.1))
            for record in self._records.values():
                record.reap()
                record.was_alive = False

    def _step(self, spec: EndpointSpec, record: EndpointRecord, model_folder: ModelFolderOf) -> None:
        record.reap()
        actual = self._actual(spec.name, record)
        now = time.monotonic()
        folder = self._folder(spec.name)
        if record.update(actual, now, folder.last_log_line):
            log.warning("endpoint '%s': %s", spec.name, record.ended)
        actual = replace(actual, next_start=record.next_start, ending_since=record.ending_since)
        template = self._desired(spec, actual, Path(), "", (Path(), ""))
        match decide(spec, actual, template, now):
            case "start":
                if self._update(spec, actual, record, model_folder, now):
                    record.handle = folder.launch(self._workspace.root, self.spare)
                    record.process = ProcessIdentity.of(record.handle.pid)
                    record.was_alive = True
            case "update":
                self._update(spec, actual, record, model_folder, now)
            case "restart":
                log.info("endpoint '%s' is restarted with new settings", spec.name)
                record.ending_since = now
                self._signal(spec.name, record, signal.SIGTERM)
            case "end":
                record.ending_since = now
                if actual.desired is not None:
                    folder.write_desired(msgspec.structs.replace(actual.desired, wanted=False))
                self._signal(spec.name, record, signal.SIGTERM)
            case "kill":
                log.warning("endpoint '%s' does not end; it is killed", spec.name)
                self._signal(spec.name, record, signal.SIGKILL)
            case "wait" | "nothing" if not actual.alive:
                self._recover_log(spec.name)

    def _update(
        self, spec: EndpointSpec, actual: EndpointState, record: EndpointRecord, model_folder: ModelFolderOf, now: float
    ) -> bool:
        if now < record.next_export:
            return False
        last = self._last(spec, actual)
        try:
            if last is not None and last.generation == spec.generation:
                # Exported for this generation: a crashed endpoint can restart while the registry is unavailable.
                folder = Path(last.folder)
            else:
                folder = self._exported(spec, last, model_folder)
            digest = read_manifest(folder).digest
        except WorkbenchError:
            record.export_failures += 1
            record.next_export = now + pause_after(record.export_failures)
            raise
        record.problem, record.export_failures = "", 0
        previous = self._previous(spec, model_folder)
        self._folder(spec.name).write_desired(self._desired(spec, actual, folder, digest, previous))
        return True

    def _last(self, spec: EndpointSpec, actual: EndpointState) -> Desired | None:
        """The last desired state, if it is of the same version and its folder still has the files of then."""
        last = actual.desired
        # In a workspace that was copied, it names folders of the original.
        if last is None or last.predictions != self._log_folder(spec.name):
            return None
        if (last.model, last.version) != (model_name(spec.model), spec.version):
            return None
        try:
            manifest = read_manifest(Path(last.folder))
            manifest.verify(Path(last.folder))
        except StorageError as error:
            log.warning("endpoint '%s': its model is exported again: %s", spec.name, error)
            return None
        return last if last.digest in ("", manifest.digest) else None

    def _exported(self, spec: EndpointSpec, last: Desired | None, model_folder: ModelFolderOf) -> Path:
        try:
            return model_folder(model_name(spec.model), spec.version)
        except Unavailable:
            if last is None:
                raise
            return Path(last.folder)

    def _log_folder(self, name: str) -> str:
        return str(self._workspace.predictions / f"endpoint={name}")

    def _recover_log(self, name: str) -> None:
        """Write the answers that a killed process left; otherwise its next one does so."""
        folder = Path(self._log_folder(name))
        if (folder / JOURNAL).is_dir():
            # Imported here, since Arrow takes long to import and is seldom needed.
            from mlops_workbench.serving.log.predictions import recover

            if rows := recover(folder, self._workspace.settings.serving.log_rows):
                log.info("endpoint '%s': %d predicted rows of an ended process are in its log", name, rows)

    def _previous(self, spec: EndpointSpec, model_folder: ModelFolderOf) -> tuple[Path, str]:
        if not spec.previous or spec.previous == spec.version:
            return Path(), ""
        try:
            folder = model_folder(model_name(spec.model), spec.previous)
            return folder, read_manifest(folder).digest
        except WorkbenchError as error:
            # It is loaded in advance only; a rollback has to wait for it then.
            log.warning("endpoint '%s': the previous version is not available: %s", spec.name, error)
            return Path(), ""

    def _desired(
        self, spec: EndpointSpec, actual: EndpointState, folder: Path, digest: str, previous: tuple[Path, str]
    ) -> Desired:
        previous_folder, previous_digest = previous
        settings = self._workspace.latest()
        kept = 0
        if actual.desired is not None and actual.desired.predictions == self._log_folder(spec.name):
            kept = (actual.observed.port if actual.observed else 0) or actual.desired.port
        return Desired(
            name=spec.name,
            model=model_name(spec.model),
            reference=spec.model,
            version=spec.version,
            folder=str(folder),
            digest=digest,
            generation=spec.generation,
            predictions=self._log_folder(spec.name),
            feedback=str(self._workspace.feedback / f"endpoint={spec.name}"),
            previous=spec.previous if previous_digest else 0,
            previous_folder=str(previous_folder) if previous_digest else "",
            previous_digest=previous_digest,
            port=spec.port or kept,
            fixed_port=spec.port != 0,
            settings=_without_token(settings.serving),
            personal=settings.data.personal,
            personal_in_log=settings.data.personal_in_log,
            log_key=str(self._workspace.log_key),
        )

    def _actual(self, name: str, record: EndpointRecord | None) -> EndpointState:
        folder = self._folder(name)
        observed = folder.observed()
        # The process of an endpoint holds its lock. In a workspace that was copied, the report is the original's.
        locked = folder.is_locked()
        fresh = locked and observed is not None and observed.process.alive()
        launched = record.process if record is not None else None
        if fresh and launched is not None and launched.alive():
            fresh = observed is not None and observed.process == launched
        # Without a report yet: a process of this supervisor, or of an earlier one.
        alive = locked or (launched is not None and launched.alive())
        return EndpointState(
            desired=folder.desired(),
            observed=observed if fresh or not alive else None,
            alive=alive,
            failures=record.failures if record else 0,
            ended=record.ended if record else "",
        )

    def _signal(self, name: str, record: EndpointRecord, number: signal.Signals) -> None:
        process = self._process_of(name, record)
        if process is not None:
            send(process, number)

    def _process_of(self, name: str, record: EndpointRecord | None) -> ProcessIdentity | None:
        folder = self._folder(name)
        observed = folder.observed() if folder.is_locked() else None
        for process in (observed.process if observed else None, record.process if record else None):
            if process is not None and process.alive():
                return process
        return None

    def running(self) -> set[str]:
        """Names of the endpoints that have a process, wanted or not."""
        try:
            names = [path.name for path in self._workspace.endpoints.iterdir() if path.is_dir()]
        except OSError:
            return set()
        return {name for name in names if self._actual(name, self._records.get(name)).alive}

    def deployed_folder(self, spec: EndpointSpec) -> Path | None:
        """Folder of the version that an endpoint's present generation serves, None if that is not applied yet."""
        last = self._folder(spec.name).desired()
        if last is None or (last.generation, last.version) != (spec.generation, spec.version):
            return None
        return Path(last.folder) if last.predictions == self._log_folder(spec.name) else None

    def wanted(self) -> list[EndpointSpec]:
        """Endpoints that shall run by their folders, from which lost specs are recovered."""
        found = []
        for path in sorted(self._workspace.endpoints.glob("*")):
            last = self._folder(path.name).desired()
            # In a workspace that was copied, it is an endpoint of the original.
            if last is not None and last.wanted and last.predictions == self._log_folder(path.name):
                port = last.port if last.fixed_port else 0
                model = last.reference or f"{last.model}/{last.version}"
                found.append(EndpointSpec(last.name, model, last.version, last.previous, port, True, last.generation))
        return found

    def _leftover(self, name: str) -> EndpointSpec:
        last = self._folder(name).desired()
        return EndpointSpec(name, last.model if last else name, last.version if last else 0, wanted=False)

    def _folder(self, name: str) -> EndpointFolder:
        return EndpointFolder(self._workspace.endpoints / name)


def _without_token(settings: ServingSettings) -> ServingSettings:
    """The settings with the hash of the token instead of the token."""
    return msgspec.structs.replace(settings, token=hashed(settings.token)) if settings.token else settings
