"""The client of the control plane, for magics, CLI and programs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from mlops_workbench.client.bodies import (
    DeployRequest,
    LocalModel,
    NotebookRunRequest,
    PipelineRunRequest,
    PromoteRequest,
    RegisterRequest,
    ShutdownRequest,
)
from mlops_workbench.client.http import Response
from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.client.transport import Transport
from mlops_workbench.core.errors import Conflict, NotFound, Unavailable
from mlops_workbench.core.ids import check_name
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun, RunProgress, StageResult
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunDetail
from mlops_workbench.core.wire.json_numbers import json_value
from mlops_workbench.core.workspace import Workspace

# At run time, a method imports what it returns: each of these takes milliseconds, and a command needs one or two.
if TYPE_CHECKING:
    from mlops_workbench.core.datasets import DatasetVersion
    from mlops_workbench.core.endpoints import Endpoint
    from mlops_workbench.core.events import WorkspaceStatus
    from mlops_workbench.core.models import AliasChange, ModelVersion, RegisteredModel
    from mlops_workbench.core.monitors import Alert, MonitorReport, MonitorSpec
    from mlops_workbench.core.retention import Kept, RetentionReport
    from mlops_workbench.core.schedules import Occasion, Schedule
    from mlops_workbench.core.sweeps import BestTrial, Sweep, SweepRequest

Noun = TypeVar("Noun")
Notify = Callable[[str], object]

#: Longest time that the control plane holds the answer to a question about a run that is waited for; it answers at once
#: when a stage begins or ends, but not for each cell.
_PIPELINE_SECONDS = 0.5
#: The same for a run whose progress is drawn.
_WATCH_SECONDS = 0.25
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Client:
    """A client of one control plane.

    Parameters
    ----------
    url, token : str
        Address and token of the control plane.
    workspace : Workspace, optional
        Used to find the control plane again after a restart on another port.
    notify : callable, optional
        Called with a text, once, when an answer may lack runs that were just logged.
    """

    def __init__(self, url: str, token: str, workspace: Workspace | None = None, notify: Notify | None = None) -> None:
        self.workspace = workspace
        self._notify = notify
        self._transport = Transport(url, token, workspace)
        self._transport.on_catching_up = self._on_catching_up

    @property
    def url(self) -> str:
        """Current address of the control plane."""
        return self._transport.url

    @classmethod
    def connect(cls, workspace: Workspace | None = None, *, start: bool = True, notify: Notify | None = None) -> Client:
        """Connect to the workspace's control plane, which is started if it does not run and `start` is true.

        Raises
        ------
        Unavailable
            It does not run, or cannot be started.
        """
        home = workspace or Workspace.find()
        found = ensure_running(home) if start else find_running(home)
        if found is None:
            raise Unavailable(f"no control plane runs for {home.root}", hint="start it with 'mlops up'")
        return cls(*found, home, notify)

    def _on_catching_up(self) -> None:
        if self._notify is not None:
            self._notify("new records are still being read: the latest runs may be missing or incomplete")
            self._notify = None

    # -- runs ------------------------------------------------------------------------------------------

    def experiments(self) -> list[Experiment]:
        """Experiments; the one with the newest run comes first."""
        return self._get("/experiments", list[Experiment])

    def runs(
        self,
        experiment: str | None = None,
        *,
        name: str | None = None,
        filter: str = "",
        status: str | None = None,
        kind: str | None = None,
        order_by: str = "start",
        descending: bool = True,
        limit: int = 100,
        offset: int = 0,
        nested: bool = True,
    ) -> list[Run]:
        """Runs; `order_by` is ``start``, ``name``, ``duration``, ``metrics.<name>`` or ``params.<name>``.

        `name` must match exactly. `filter` is in MLflow's filter language: ``metrics.auc > 0.8 and params.depth = 6``.
        With `nested` false, parts of other runs, such as the candidates of a search, are left out.
        """
        query = {
            "experiment": experiment, "name": name, "filter": filter or None, "status": status, "kind": kind,
            "order_by": order_by, "descending": descending, "limit": limit, "offset": offset, "nested": nested,
        }  # fmt: skip
        return self._get("/runs", list[Run], {name: value for name, value in query.items() if value is not None})

    def run(self, reference: str, experiment: str | None = None) -> RunDetail:
        """A run by name (the newest), uid, start of a uid, or MLflow id."""
        if "/" in reference:
            # A run's name may contain a slash, a segment of a URL may not.
            named = self.runs(experiment, name=reference, limit=1)
            reference = named[0].uid if named else reference.replace("/", " ")
        query = {"experiment": experiment} if experiment else {}
        return self._get(f"/runs/{_part(reference)}", RunDetail, query)

    def history(self, reference: str, metric: str, max_points: int | None = None) -> list[MetricPoint]:
        """Points of a metric of a run: all, or about `max_points` evenly spread over the steps."""
        query = {"max_points": max_points} if max_points else {}
        return self._get(f"/runs/{_part(reference)}/metrics/{quote(metric)}", list[MetricPoint], query)

    def artifact(self, reference: str, path: str) -> bytes:
        """Content of a file of a run."""
        return self._send("GET", f"/runs/{_part(reference)}/artifacts/{quote(path)}").content

    def datasets(self, reference: str) -> list[DatasetVersion]:
        """Data that a run used, with profiles; training data comes first."""
        from mlops_workbench.core.datasets import DatasetVersion

        return self._get(f"/runs/{_part(reference)}/datasets", list[DatasetVersion])

    def dataset_versions(self, digest: str) -> list[DatasetVersion]:
        """Runs that used a version of data, newest first; `digest` may be abbreviated."""
        from mlops_workbench.core.datasets import DatasetVersion

        return self._get(f"/datasets/{_part(digest)}", list[DatasetVersion])

    def dataset_file(self, digest: str, part: str) -> bytes:
        """Content of a version's `part`: its ``snapshot`` as Parquet, or its pandera ``schema`` as JSON."""
        return self._send("GET", f"/datasets/{_part(digest)}/{part}").content

    # -- models ----------------------------------------------------------------------------------------

    def models(self) -> list[RegisteredModel]:
        """Registered models."""
        from mlops_workbench.core.models import RegisteredModel

        return self._get("/models", list[RegisteredModel])

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first."""
        from mlops_workbench.core.models import ModelVersion

        return self._get(f"/models/{_part(name)}/versions", list[ModelVersion])

    def register(self, name: str, request: RegisterRequest) -> ModelVersion:
        """Register the model of a run."""
        from mlops_workbench.core.models import ModelVersion

        check_name("model", name)
        return self._post(f"/models/{_part(name)}/versions", ModelVersion, request)

    def promote(self, name: str, version: int, request: PromoteRequest) -> ModelVersion:
        """Set an alias of a version if the gate passes."""
        from mlops_workbench.core.models import ModelVersion

        return self._post(f"/models/{_part(name)}/versions/{version}/promote", ModelVersion, request)

    def rollback_model(self, name: str) -> ModelVersion:
        """Make the previous champion the champion again."""
        from mlops_workbench.core.models import ModelVersion

        return self._post(f"/models/{_part(name)}/rollback", ModelVersion)

    def alias_changes(self, name: str) -> list[AliasChange]:
        """Changes of the aliases of a model, newest first."""
        from mlops_workbench.core.models import AliasChange

        return self._get(f"/models/{_part(name)}/alias-changes", list[AliasChange])

    def local_model(self, reference: str) -> LocalModel:
        """A model version on this machine's disk."""
        return self._get(f"/local-models/{quote(reference)}", LocalModel)

    # -- endpoints -------------------------------------------------------------------------------------

    def endpoints(self) -> list[Endpoint]:
        """State of every endpoint."""
        from mlops_workbench.core.endpoints import Endpoint

        return [self._reachable(endpoint) for endpoint in self._get("/endpoints", list[Endpoint])]

    def endpoint(self, name: str) -> Endpoint:
        """State of an endpoint."""
        from mlops_workbench.core.endpoints import Endpoint

        return self._reachable(self._get(f"/endpoints/{_part(name)}", Endpoint))

    def deploy(self, name: str, request: DeployRequest, *, timeout: float = 120.0) -> Endpoint:
        """Serve a model version and wait until it is ready; `timeout` in seconds, 0 does not wait."""
        from mlops_workbench.core.endpoints import Endpoint

        body = _encoded(request)
        endpoint = _decoded(self._send("PUT", f"/endpoints/{_part(name)}", content=body), Endpoint)
        return self.wait_endpoint(name, endpoint.wanted_version, timeout) if timeout else endpoint

    def rollback(self, name: str, *, timeout: float = 120.0) -> Endpoint:
        """Serve the previous version again and wait until it is ready."""
        from mlops_workbench.core.endpoints import Endpoint

        endpoint = self._post(f"/endpoints/{_part(name)}/rollback", Endpoint)
        return self.wait_endpoint(name, endpoint.wanted_version, timeout) if timeout else endpoint

    def remove_endpoint(self, name: str) -> None:
        """Stop an endpoint permanently."""
        self._send("DELETE", f"/endpoints/{_part(name)}")

    def wait_endpoint(self, name: str, version: int, timeout: float = 120.0) -> Endpoint:
        """Wait until the endpoint serves `version`.

        Raises
        ------
        Conflict
            The version could not be loaded.
        Unavailable
            It took longer than `timeout` seconds.
        """

        def ready() -> Endpoint | None:
            endpoint = self.endpoint(name)
            if endpoint.state == "failed" and endpoint.wanted_version == version:
                still = f"; it still serves version {endpoint.version}" if endpoint.version and endpoint.url else ""
                raise Conflict(
                    f"endpoint '{name}' could not serve version {version}: {endpoint.message}{still}",
                    hint=f"deploy another version, or remove the endpoint: 'mlops endpoints {name} --remove'",
                )
            return endpoint if endpoint.state == "ready" and endpoint.version == version else None

        return _wait(ready, timeout, f"endpoint '{name}' did not serve version {version}")

    # -- pipelines -------------------------------------------------------------------------------------

    def pipelines(self) -> list[Pipeline]:
        """Pipelines of the workspace."""
        return self._get("/pipelines", list[Pipeline])

    def start_pipeline(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        **stages: Any,
    ) -> PipelineRun:
        """Start a pipeline; `texts` are values as they were typed, whose types the parameters give.

        `stages` say which stages run: `start`, `only` and `force` of `PipelineRunRequest`.
        """
        request = PipelineRunRequest(dict(params or {}), dict(texts or {}), **stages)
        return self._post(f"/pipelines/{_part(name)}/runs", PipelineRun, request)

    def plan_pipeline(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        **stages: Any,
    ) -> PlannedRun:
        """What a run of a pipeline would do and why; takes and raises what :meth:`start_pipeline` does."""
        request = PipelineRunRequest(dict(params or {}), dict(texts or {}), **stages)
        return self._post(f"/pipelines/{_part(name)}/plan", PlannedRun, request)

    def start_notebook(self, request: NotebookRunRequest) -> PipelineRun:
        """Run a notebook."""
        return self._post("/notebook-runs", PipelineRun, request)

    def pipeline_runs(self, limit: int = 100) -> list[PipelineRun]:
        """Pipeline runs, newest first."""
        return self._get("/pipeline-runs", list[PipelineRun], {"limit": limit})

    def pipeline_run(self, run_id: str) -> PipelineRun:
        """One pipeline run."""
        return self._get(f"/pipeline-runs/{_part(run_id)}", PipelineRun)

    def pipeline_run_progress(self, run_id: str, lines: int = 5) -> RunProgress:
        """How far a pipeline run is, with the last lines that each of its running stages printed."""
        return self._get(f"/pipeline-runs/{_part(run_id)}/progress", RunProgress, {"lines": lines})

    def pipeline_run_results(self, run_id: str) -> list[StageResult]:
        """Executed notebooks of a pipeline run's stages, and where they failed."""
        return self._get(f"/pipeline-runs/{_part(run_id)}/results", list[StageResult])

    def cancel_pipeline_run(self, run_id: str) -> PipelineRun:
        """Cancel a pipeline run."""
        return self._post(f"/pipeline-runs/{_part(run_id)}/cancel", PipelineRun)

    def resume_pipeline_run(self, run_id: str) -> PipelineRun:
        """Let a run that has failed or was cancelled go on; its stages that succeeded are kept."""
        return self._post(f"/pipeline-runs/{_part(run_id)}/resume", PipelineRun)

    def wait_pipeline(
        self, run_id: str, timeout: float = math.inf, progress: Callable[[PipelineRun], None] | None = None
    ) -> PipelineRun:
        """Wait until a pipeline run has ended and its model is published; `progress` receives each state.

        Raises
        ------
        Unavailable
            It took longer than `timeout` seconds.
        """
        path = f"/pipeline-runs/{_part(run_id)}"
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            run = self._get(path, PipelineRun, {"wait": max(0.0, min(_PIPELINE_SECONDS, left))})
            if progress is not None:
                progress(run)
            if not run.active:
                return run
            if left <= 0:
                raise _too_long(f"pipeline run {run_id} did not end", timeout)

    def watch_pipeline(self, run_id: str, show: Callable[[RunProgress], None]) -> PipelineRun:
        """Wait like :meth:`wait_pipeline`, without a limit; `show` receives the progress several times a second."""
        while True:
            progress = self.pipeline_run_progress(run_id)
            show(progress)
            if not progress.run.active:
                return progress.run
            self._get(f"/pipeline-runs/{_part(run_id)}", PipelineRun, {"wait": _WATCH_SECONDS})

    # -- sweeps ----------------------------------------------------------------------------------------

    def sweeps(self, limit: int = 100) -> list[Sweep]:
        """Sweeps, newest first, without their trials."""
        from mlops_workbench.core.sweeps import Sweep

        return self._get("/sweeps", list[Sweep], {"limit": limit})

    def sweep(self, sweep_id: str) -> Sweep:
        """One sweep with its trials."""
        from mlops_workbench.core.sweeps import Sweep

        return self._get(f"/sweeps/{_part(sweep_id)}", Sweep)

    def start_sweep(self, request: SweepRequest) -> Sweep:
        """Run a notebook or a pipeline with many values of its parameters."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post("/sweeps", Sweep, request)

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """End a sweep and the trials that run."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post(f"/sweeps/{_part(sweep_id)}/cancel", Sweep)

    def resume_sweep(self, sweep_id: str) -> Sweep:
        """Let a sweep go on that was cancelled, has failed or was killed."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post(f"/sweeps/{_part(sweep_id)}/resume", Sweep)

    def best_trial(self, sweep_id: str) -> BestTrial:
        """The best trial of a sweep, and the run whose model can be registered."""
        from mlops_workbench.core.sweeps import BestTrial

        return self._get(f"/sweeps/{_part(sweep_id)}/best", BestTrial)

    def wait_sweep(
        self, sweep_id: str, timeout: float = math.inf, progress: Callable[[Sweep], None] | None = None
    ) -> Sweep:
        """Wait until a sweep has ended; `progress` receives each state.

        Raises
        ------
        Unavailable
            It took longer than `timeout` seconds.
        """

        def ended() -> Sweep | None:
            sweep = self.sweep(sweep_id)
            if progress is not None:
                progress(sweep)
            return None if sweep.run.active else sweep

        return _wait(ended, timeout, f"sweep {sweep_id} did not end")

    # -- schedules -------------------------------------------------------------------------------------

    def schedules(self) -> list[Schedule]:
        """Pipelines and notebooks that start by themselves."""
        from mlops_workbench.core.schedules import Schedule

        return self._get("/schedules", list[Schedule])

    def occasions(self, name: str, limit: int = 100) -> list[Occasion]:
        """What happened to a schedule, newest first: why it was started, and why not."""
        from mlops_workbench.core.schedules import Occasion

        return self._get(f"/schedules/{_part(name)}/occasions", list[Occasion], {"limit": limit})

    def pause_schedule(self, name: str) -> Schedule:
        """Start a pipeline or a notebook no more by itself."""
        from mlops_workbench.core.schedules import Schedule

        return self._post(f"/schedules/{_part(name)}/pause", Schedule)

    def resume_schedule(self, name: str) -> Schedule:
        """Start it by itself again; what happened meanwhile starts nothing."""
        from mlops_workbench.core.schedules import Schedule

        return self._post(f"/schedules/{_part(name)}/resume", Schedule)

    # -- monitors --------------------------------------------------------------------------------------

    def monitors(self) -> list[MonitorReport]:
        """Monitors with their windows."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._get("/monitors", list[MonitorReport])

    def monitor(self, endpoint: str) -> MonitorReport:
        """The monitor of an endpoint."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._get(f"/monitors/{_part(endpoint)}", MonitorReport)

    def put_monitor(self, spec: MonitorSpec) -> MonitorReport:
        """Create or change the monitor of an endpoint."""
        from mlops_workbench.core.monitors import MonitorReport

        return _decoded(self._send("PUT", "/monitors", content=_encoded(spec)), MonitorReport)

    def evaluate_monitor(self, endpoint: str) -> MonitorReport:
        """Evaluate the monitor of an endpoint now."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._post(f"/monitors/{_part(endpoint)}/evaluate", MonitorReport)

    def alerts(self, endpoint: str | None = None) -> list[Alert]:
        """Alerts, newest first."""
        from mlops_workbench.core.monitors import Alert

        return self._get("/alerts", list[Alert], {"endpoint": endpoint} if endpoint else {})

    # -- retention -------------------------------------------------------------------------------------

    def retention(self) -> RetentionReport:
        """What the rule of retention would remove now."""
        from mlops_workbench.core.retention import RetentionReport

        return self._get("/retention", RetentionReport)

    def apply_retention(self) -> RetentionReport:
        """Remove what the rule of retention lets go."""
        from mlops_workbench.core.retention import RetentionReport

        return self._post("/retention", RetentionReport)

    def keep_run(self, reference: str, *, kept: bool = True) -> Kept:
        """Keep the files of a run from the rule of retention, or leave them to it."""
        from mlops_workbench.core.retention import Kept

        method = "PUT" if kept else "DELETE"
        return _decoded(self._send(method, f"/retention/kept/{_part(reference)}"), Kept)

    # -- the process -----------------------------------------------------------------------------------

    def status(self) -> WorkspaceStatus:
        """Processes, delivery and counts."""
        from mlops_workbench.core.events import WorkspaceStatus

        return self._get("/status", WorkspaceStatus)

    def shutdown(self, *, keep_endpoints: bool = False) -> None:
        """Ask the control plane to stop."""
        self._send("POST", "/shutdown", content=msgspec.json.encode(ShutdownRequest(keep_endpoints)))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reachable(self, endpoint: Endpoint) -> Endpoint:
        # An endpoint reports a loopback address. On a remote control plane, replace it by that machine's host.
        host = urlsplit(self.url).hostname
        local = urlsplit(endpoint.url)
        if not endpoint.url or host in _LOOPBACK or local.hostname not in _LOOPBACK:
            return endpoint
        return dataclasses.replace(endpoint, url=f"{local.scheme}://{host}:{local.port}")

    def _get(self, path: str, kind: type[Noun], query: Mapping[str, Any] | None = None) -> Noun:
        return _decoded(self._send("GET", path, params=query), kind)

    def _post(self, path: str, kind: type[Noun], body: object = None) -> Noun:
        content = b"{}" if body is None else _encoded(body)
        return _decoded(self._send("POST", path, content=content), kind)

    def _send(self, method: str, path: str, **options: Any) -> Response:
        return self._transport.send(method, path, **options)


def _encoded(body: object) -> bytes:
    return msgspec.json.encode(json_value(msgspec.to_builtins(body)))


def _decoded(response: Response, kind: type[Noun]) -> Noun:
    return msgspec.json.decode(response.content, type=kind)


def _part(name: str) -> str:
    # Such a name would change the path of the URL and so request something else.
    if name in ("", ".", "..") or "/" in name:
        raise NotFound(f"nothing is named '{name}'", hint="names consist of letters, digits, '_', '-' and '.'")
    return quote(name, safe="@")


def _too_long(problem: str, timeout: float) -> Unavailable:
    return Unavailable(f"{problem} within {timeout:.0f} s", hint="'mlops status' shows its state")


def _wait(poll: Callable[[], Noun | None], timeout: float, problem: str) -> Noun:
    deadline = time.monotonic() + timeout
    pause = 0.05
    while True:
        found = poll()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise _too_long(problem, timeout)
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
