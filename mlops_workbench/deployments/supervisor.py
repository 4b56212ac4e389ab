"""Keeps endpoint processes as they are wanted; may die itself at any time."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.errors import Conflict, NotFound, Unavailable, WorkbenchError
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.endpoint_folder import EndpointFolder, send
from mlops_workbench.deployments.reconcile import GRACE_SECONDS, STEADY_SECONDS, Seen, decide, describe, pause_after
from mlops_workbench.serving.desired import Desired

log = logging.getLogger("mlops_workbench.deployments")

ModelFolderOf = Callable[[str, int], Path]


class EndpointFailed(Conflict):
    """An endpoint could not do what was wanted of it."""

    code = "endpoint_failed"


@dataclass
class _Memory:
    """What this supervisor remembers of an endpoint; all of it may be lost."""

    spec: EndpointSpec
    handle: subprocess.Popen[bytes] | None = None
    process: ProcessIdentity | None = None
    was_alive: bool = False
    alive_since: float = 0.0
    deaths: int = 0
    next_start: float = 0.0
    ending_since: float | None = None
    problem: str = ""
    export_failures: int = 0
    next_export: float = 0.0


class Supervisor:
    """Starts, tells, adopts, restarts and stops the endpoints of a workspace.

    All that matters is in the endpoints' folders: a new supervisor finds running endpoints by what they report and
    takes them over; the lock that each process holds rules out a second one.

    Parameters
    ----------
    workspace : Workspace
        Whose endpoints.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._memories: dict[str, _Memory] = {}
        self._reconciling = threading.Lock()

    def reconcile(self, specs: Sequence[EndpointSpec], model_folder: ModelFolderOf) -> None:
        """Do the next thing for every endpoint, without waiting for what it leads to.

        Parameters
        ----------
        specs : sequence of EndpointSpec
            All endpoints; a running one that is not among them is stopped.
        model_folder : callable
            Folder of a registered model's version, exported if need be.
        """
        with self._reconciling:
            wanted = {spec.name: spec for spec in specs}
            for name in self.running() - wanted.keys():
                wanted[name] = self._leftover(name)
            for spec in wanted.values():
                memory = self._memories.setdefault(spec.name, _Memory(spec))
                if memory.spec != spec:
                    memory.spec = spec
                    memory.problem, memory.next_export, memory.export_failures = "", 0.0, 0
                try:
                    self._step(spec, memory, model_folder)
                except WorkbenchError as error:
                    # One endpoint's trouble is told where it belongs, and keeps no other from being served.
                    if memory.problem != str(error):
                        log.warning("endpoint '%s': %s", spec.name, error)
                    memory.problem = str(error)
            for name in self._memories.keys() - wanted.keys():
                del self._memories[name]

    def observe(self, spec: EndpointSpec) -> Endpoint:
        """The endpoint as it is."""
        memory = self._memories.get(spec.name)
        problem = memory.problem if memory is not None and memory.spec == spec else ""
        return describe(spec, self._look(spec.name, memory), problem)

    def wait(self, name: str, version: int, timeout: float) -> Endpoint:
        """Wait until an endpoint serves a version; somebody else must call `reconcile` meanwhile.

        Parameters
        ----------
        name : str
            Endpoint.
        version : int
            Version that is to answer.
        timeout : float
            Seconds.

        Raises
        ------
        EndpointFailed
            It cannot serve the version; the message is the endpoint's own.
        Unavailable
            It takes longer than `timeout`.
        """
        deadline = time.monotonic() + timeout
        while True:
            memory = self._memories.get(name)
            endpoint = None
            if memory is not None and memory.spec.version == version:
                endpoint = self.observe(memory.spec)
                if endpoint.state == "ready":
                    return endpoint
                if endpoint.state == "failed":
                    raise EndpointFailed(
                        f"endpoint '{name}' cannot serve version {version}: {endpoint.message}", where=name
                    )
            if time.monotonic() > deadline:
                if memory is None:
                    raise NotFound(f"there is no endpoint '{name}'", hint="'mlops endpoints' lists them")
                state = f"{endpoint.state}: {endpoint.message}" if endpoint else "not told yet"
                raise Unavailable(
                    f"endpoint '{name}' does not serve version {version} after {timeout:g} s ({state})",
                    hint="'mlops endpoints' shows how it goes on",
                )
            time.sleep(0.05)

    def stop_all(self) -> None:
        """End every endpoint process and wait for it; what is wanted stays as it is."""
        with self._reconciling:
            running = []
            for name in sorted(self.running()):
                process = self._process_of(name, self._memories.get(name))
                if process is not None:
                    send(process, signal.SIGTERM)
                    running.append(process)
            deadline = time.monotonic() + GRACE_SECONDS
            for process in running:
                process.stop(grace=max(deadline - time.monotonic(), 0.1))
            for memory in self._memories.values():
                self._reap(memory)
                memory.was_alive = False

    def _step(self, spec: EndpointSpec, memory: _Memory, model_folder: ModelFolderOf) -> None:
        self._reap(memory)
        seen = self._look(spec.name, memory)
        now = time.monotonic()
        self._remember(spec, memory, seen, now)
        seen = replace(seen, deaths=memory.deaths, next_start=memory.next_start, ending_since=memory.ending_since)
        folder = self._folder(spec.name)
        template = self._desired(spec, seen, Path(), Path())
        match decide(spec, seen, template.process_key, now):
            case "start":
                if self._tell(spec, seen, memory, model_folder, now):
                    memory.handle = folder.launch(self._workspace.root)
                    memory.process = ProcessIdentity.of(memory.handle.pid)
                    memory.was_alive, memory.alive_since = True, now
            case "tell":
                self._tell(spec, seen, memory, model_folder, now)
            case "restart":
                log.info("endpoint '%s' is restarted with new settings", spec.name)
                memory.ending_since = now
                self._signal(spec.name, memory, signal.SIGTERM)
            case "end":
                memory.ending_since = now
                if seen.desired is not None:
                    folder.tell(_unwanted(seen.desired))
                self._signal(spec.name, memory, signal.SIGTERM)
            case "kill":
                log.warning("endpoint '%s' does not end; it is killed", spec.name)
                self._signal(spec.name, memory, signal.SIGKILL)

    def _tell(self, spec: EndpointSpec, seen: Seen, memory: _Memory, model_folder: ModelFolderOf, now: float) -> bool:
        if now < memory.next_export:
            return False
        model = _registered_model(spec)
        told = seen.desired
        try:
            if told is not None and told.version == spec.version and (Path(told.folder) / "MLmodel").is_file():
                # Known already: a crashed endpoint comes back while the registry is away.
                folder = Path(told.folder)
            else:
                folder = model_folder(model, spec.version)
        except WorkbenchError:
            memory.export_failures += 1
            memory.next_export = now + pause_after(memory.export_failures)
            raise
        memory.problem, memory.export_failures = "", 0
        self._folder(spec.name).tell(self._desired(spec, seen, folder, self._previous(spec, model_folder)))
        return True

    def _previous(self, spec: EndpointSpec, model_folder: ModelFolderOf) -> Path:
        if not spec.previous or spec.previous == spec.version:
            return Path()
        try:
            return model_folder(_registered_model(spec), spec.previous)
        except WorkbenchError as error:
            # Only kept at hand for a rollback, which then has to wait for it.
            log.warning("endpoint '%s': the previous version is not at hand: %s", spec.name, error)
            return Path()

    def _desired(self, spec: EndpointSpec, seen: Seen, folder: Path, previous: Path) -> Desired:
        kept = (seen.observed.port if seen.observed else 0) or (seen.desired.port if seen.desired else 0)
        return Desired(
            name=spec.name,
            model=_registered_model(spec),
            version=spec.version,
            folder=str(folder),
            generation=spec.generation,
            predictions=str(self._workspace.predictions / f"endpoint={spec.name}"),
            feedback=str(self._workspace.feedback / f"endpoint={spec.name}"),
            previous=spec.previous if previous != Path() else 0,
            previous_folder=str(previous) if previous != Path() else "",
            port=spec.port or kept,
            fixed_port=spec.port != 0,
            settings=self._workspace.settings.serving,
        )

    def _look(self, name: str, memory: _Memory | None) -> Seen:
        folder = self._folder(name)
        observed = folder.observed()
        fresh = observed is not None and observed.process.alive()
        alive = fresh or (memory is not None and memory.process is not None and memory.process.alive())
        if not alive:
            # A process that has not reported yet, started by a supervisor that is gone.
            alive = folder.occupied()
        return Seen(
            desired=folder.desired(),
            observed=observed if fresh or not alive else None,
            alive=alive,
            deaths=memory.deaths if memory else 0,
        )

    def _remember(self, spec: EndpointSpec, memory: _Memory, seen: Seen, now: float) -> None:
        if seen.alive:
            if not memory.was_alive:
                memory.was_alive, memory.alive_since = True, now
            return
        if not memory.was_alive:
            return
        memory.was_alive = False
        if memory.ending_since is not None:
            memory.ending_since, memory.deaths, memory.next_start = None, 0, 0.0
            return
        steady = now - memory.alive_since > STEADY_SECONDS
        memory.deaths = 1 if steady else memory.deaths + 1
        memory.next_start = now + pause_after(memory.deaths)
        reported = seen.observed is not None and memory.process is not None and seen.observed.process == memory.process
        if memory.handle is not None and memory.handle.returncode and not reported:
            words = self._folder(spec.name).last_words()
            memory.problem = f"its process ended with code {memory.handle.returncode}: {words}"
        log.warning("endpoint '%s' died (%s in a row)", spec.name, memory.deaths)

    def _reap(self, memory: _Memory) -> None:
        if memory.handle is not None:
            memory.handle.poll()

    def _signal(self, name: str, memory: _Memory, number: signal.Signals) -> None:
        process = self._process_of(name, memory)
        if process is not None:
            send(process, number)

    def _process_of(self, name: str, memory: _Memory | None) -> ProcessIdentity | None:
        observed = self._folder(name).observed()
        for process in (observed.process if observed else None, memory.process if memory else None):
            if process is not None and process.alive():
                return process
        return None

    def running(self) -> set[str]:
        """Names of the endpoints whose process lives, wanted or not."""
        try:
            names = [path.name for path in self._workspace.endpoints.iterdir() if path.is_dir()]
        except OSError:
            return set()
        return {name for name in names if self._look(name, self._memories.get(name)).alive}

    def _leftover(self, name: str) -> EndpointSpec:
        told = self._folder(name).desired()
        version = told.version if told else 0
        return EndpointSpec(name, told.model if told else name, version, wanted=False)

    def _folder(self, name: str) -> EndpointFolder:
        return EndpointFolder(self._workspace.endpoints / name)


def _registered_model(spec: EndpointSpec) -> str:
    return spec.model.split("@")[0].split("/")[0]


def _unwanted(desired: Desired) -> Desired:
    return msgspec.structs.replace(desired, wanted=False)
