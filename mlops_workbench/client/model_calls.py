"""The client's calls about models, endpoints and monitors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mlops_workbench.client.bodies import (
    DeployRequest,
    EndpointLog,
    LendRequest,
    LentProcess,
    LocalModel,
    PromoteRequest,
    RegisterRequest,
    RollbackRequest,
)
from mlops_workbench.client.calls import Calls, decoded, encoded, path_part, wait
from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.ids import check_name
from mlops_workbench.core.surroundings import fingerprint

# At run time, a method imports what it returns: each of these takes milliseconds, and a command needs one or two.
if TYPE_CHECKING:
    from mlops_workbench.core.endpoints import Endpoint
    from mlops_workbench.core.model_card import ModelCard
    from mlops_workbench.core.models import AliasChange, ModelVersion, RegisteredModel
    from mlops_workbench.core.monitors import Alert, MonitorReport, MonitorSpec
    from mlops_workbench.core.releases import Release, RollbackPlan

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ModelCalls(Calls):
    """Calls about models, the endpoints that serve them, and the monitors of these."""

    # -- models ----------------------------------------------------------------------------------------

    def models(self) -> list[RegisteredModel]:
        """Registered models."""
        from mlops_workbench.core.models import RegisteredModel

        return self._get("/models", list[RegisteredModel])

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first."""
        from mlops_workbench.core.models import ModelVersion

        return self._get(f"/models/{path_part(name)}/versions", list[ModelVersion])

    def register(self, name: str, request: RegisterRequest) -> ModelVersion:
        """Register the model of a run."""
        from mlops_workbench.core.models import ModelVersion

        check_name("model", name)
        return self._post(f"/models/{path_part(name)}/versions", ModelVersion, request)

    def promote(self, name: str, version: int, request: PromoteRequest) -> ModelVersion:
        """Set an alias of a version if the gate passes."""
        from mlops_workbench.core.models import ModelVersion

        return self._post(f"/models/{path_part(name)}/versions/{version}/promote", ModelVersion, request)

    def rollback_model(self, name: str, request: RollbackRequest) -> ModelVersion:
        """Make the previous champion the champion again; the one that is left is put in quarantine."""
        from mlops_workbench.core.models import ModelVersion

        return self._post(f"/models/{path_part(name)}/rollback", ModelVersion, request)

    def plan_rollback_model(self, name: str) -> RollbackPlan:
        """What a rollback of the champion would do."""
        from mlops_workbench.core.releases import RollbackPlan

        return self._get(f"/models/{path_part(name)}/rollback", RollbackPlan)

    def alias_changes(self, name: str) -> list[AliasChange]:
        """Changes of the aliases of a model, newest first."""
        from mlops_workbench.core.models import AliasChange

        return self._get(f"/models/{path_part(name)}/alias-changes", list[AliasChange])

    def card(self, name: str, version: int) -> ModelCard:
        """The card of a version."""
        from mlops_workbench.core.model_card import ModelCard

        return self._get(f"/models/{path_part(name)}/versions/{version}/card", ModelCard)

    def local_model(self, reference: str) -> LocalModel:
        """A model version on this machine's disk."""
        return self._get(f"/local-models/{quote(reference)}", LocalModel)

    def lend_process(self, socket: str) -> int:
        """Make a process that can score files connect to the socket at a path; its id, 0 if there is none."""
        return self._post("/scoring-processes", LentProcess, LendRequest(socket, fingerprint())).pid

    # -- endpoints -------------------------------------------------------------------------------------

    def endpoints(self) -> list[Endpoint]:
        """State of every endpoint."""
        from mlops_workbench.core.endpoints import Endpoint

        return [self._reachable(endpoint) for endpoint in self._get("/endpoints", list[Endpoint])]

    def endpoint(self, name: str) -> Endpoint:
        """State of an endpoint."""
        from mlops_workbench.core.endpoints import Endpoint

        return self._reachable(self._get(f"/endpoints/{path_part(name)}", Endpoint))

    def endpoint_log(self, name: str, lines: int, after: int = -1) -> EndpointLog:
        """The last lines of the log of an endpoint's process, or with `after` those from that position on."""
        return self._get(f"/endpoints/{path_part(name)}/log", EndpointLog, {"lines": lines, "after": after})

    def deploy(self, name: str, request: DeployRequest, *, timeout: float = 120.0) -> Endpoint:
        """Serve a model version and wait until it is ready; `timeout` in seconds, 0 does not wait."""
        from mlops_workbench.core.endpoints import Endpoint

        body = encoded(request)
        endpoint = decoded(self._send("PUT", f"/endpoints/{path_part(name)}", content=body), Endpoint)
        return self.wait_endpoint(name, endpoint.wanted_version, timeout) if timeout else endpoint

    def plan_rollback(self, name: str) -> RollbackPlan:
        """What a rollback of an endpoint would do."""
        from mlops_workbench.core.releases import RollbackPlan

        return self._get(f"/endpoints/{path_part(name)}/rollback", RollbackPlan)

    def releases(self, name: str) -> list[Release]:
        """What an endpoint served when, why and by whom, the newest first."""
        from mlops_workbench.core.releases import Release

        return self._get(f"/endpoints/{path_part(name)}/releases", list[Release])

    def rollback(self, name: str, request: RollbackRequest, *, timeout: float = 120.0) -> Endpoint:
        """Serve the previous version again and wait until it is ready; the one that is left is put in quarantine."""
        from mlops_workbench.core.endpoints import Endpoint

        endpoint = self._post(f"/endpoints/{path_part(name)}/rollback", Endpoint, request)
        return self.wait_endpoint(name, endpoint.wanted_version, timeout) if timeout else endpoint

    def remove_endpoint(self, name: str) -> None:
        """Stop an endpoint permanently."""
        self._send("DELETE", f"/endpoints/{path_part(name)}")

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

        return wait(ready, timeout, f"endpoint '{name}' did not serve version {version}")

    # -- monitors --------------------------------------------------------------------------------------

    def monitors(self) -> list[MonitorReport]:
        """Monitors with their windows."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._get("/monitors", list[MonitorReport])

    def monitor(self, endpoint: str) -> MonitorReport:
        """The monitor of an endpoint."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._get(f"/monitors/{path_part(endpoint)}", MonitorReport)

    def put_monitor(self, spec: MonitorSpec) -> MonitorReport:
        """Create or change the monitor of an endpoint."""
        from mlops_workbench.core.monitors import MonitorReport

        return decoded(self._send("PUT", "/monitors", content=encoded(spec)), MonitorReport)

    def evaluate_monitor(self, endpoint: str) -> MonitorReport:
        """Evaluate the monitor of an endpoint now."""
        from mlops_workbench.core.monitors import MonitorReport

        return self._post(f"/monitors/{path_part(endpoint)}/evaluate", MonitorReport)

    def alerts(self, endpoint: str | None = None) -> list[Alert]:
        """Alerts, newest first."""
        from mlops_workbench.core.monitors import Alert

        return self._get("/alerts", list[Alert], {"endpoint": endpoint} if endpoint else {})

    def _reachable(self, endpoint: Endpoint) -> Endpoint:
        # An endpoint reports a loopback address. On a remote control plane, replace it by that machine's host.
        host = urlsplit(self.url).hostname
        local = urlsplit(endpoint.url)
        if not endpoint.url or host in _LOOPBACK or local.hostname not in _LOOPBACK:
            return endpoint
        return dataclasses.replace(endpoint, url=f"{local.scheme}://{host}:{local.port}")
