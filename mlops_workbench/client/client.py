"""The client of the control plane, for magics, CLI and programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from mlops_workbench.client.bodies import ShutdownRequest
from mlops_workbench.client.calls import decoded, path_part
from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.client.model_calls import ModelCalls
from mlops_workbench.client.pipeline_calls import PipelineCalls
from mlops_workbench.client.transport import Transport
from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunDetail
from mlops_workbench.core.workspace import Workspace

# At run time, a method imports what it returns: each of these takes milliseconds, and a command needs one or two.
if TYPE_CHECKING:
    from mlops_workbench.core.audit import AuditEntry, AuditReport, Checkpoint
    from mlops_workbench.core.datasets import DatasetVersion
    from mlops_workbench.core.events import WorkspaceStatus
    from mlops_workbench.core.retention import Kept, RetentionReport

Notify = Callable[[str], object]


class Client(PipelineCalls, ModelCalls):
    """A client of one control plane.

    Parameters
    ----------
    url, token : str
        Address and token of the control plane.
    workspace : Workspace, optional
        Used to find the control plane again after a restart on another port.
    notify : callable, optional
        Called with a text, once, when an answer may lack runs that were just logged.
    source : str
        Where requests come from, for the audit trail: ``cli``, ``notebook`` or ``python``.
    """

    def __init__(
        self,
        url: str,
        token: str,
        workspace: Workspace | None = None,
        notify: Notify | None = None,
        source: str = "python",
    ) -> None:
        super().__init__(Transport(url, token, workspace, source))
        self.workspace = workspace
        self._notify = notify
        self._transport.on_catching_up = self._on_catching_up

    @classmethod
    def connect(
        cls,
        workspace: Workspace | None = None,
        *,
        start: bool = True,
        notify: Notify | None = None,
        source: str = "python",
    ) -> Client:
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
        return cls(*found, home, notify, source)

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
        return self._get(f"/runs/{path_part(reference)}", RunDetail, query)

    def history(self, reference: str, metric: str, max_points: int | None = None) -> list[MetricPoint]:
        """Points of a metric of a run: all, or about `max_points` evenly spread over the steps."""
        query = {"max_points": max_points} if max_points else {}
        return self._get(f"/runs/{path_part(reference)}/metrics/{quote(metric)}", list[MetricPoint], query)

    def artifact(self, reference: str, path: str) -> bytes:
        """Content of a file of a run."""
        return self._send("GET", f"/runs/{path_part(reference)}/artifacts/{quote(path)}").content

    def datasets(self, reference: str) -> list[DatasetVersion]:
        """Data that a run used, with profiles; training data comes first."""
        from mlops_workbench.core.datasets import DatasetVersion

        return self._get(f"/runs/{path_part(reference)}/datasets", list[DatasetVersion])

    def dataset_versions(self, digest: str) -> list[DatasetVersion]:
        """Runs that used a version of data, newest first; `digest` may be abbreviated."""
        from mlops_workbench.core.datasets import DatasetVersion

        return self._get(f"/datasets/{path_part(digest)}", list[DatasetVersion])

    def dataset_file(self, digest: str, part: str) -> bytes:
        """Content of a version's `part`: its ``snapshot`` as Parquet, or its pandera ``schema`` as JSON."""
        return self._send("GET", f"/datasets/{path_part(digest)}/{part}").content

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
        return decoded(self._send(method, f"/retention/kept/{path_part(reference)}"), Kept)

    # -- the audit trail -------------------------------------------------------------------------------

    def audit(self, subject: str = "", *, action: str = "", limit: int = 100, before: int = 0) -> list[AuditEntry]:
        """Who changed models and endpoints, newest first; of a `subject`, by an `action`, `before` an entry."""
        from mlops_workbench.core.audit import AuditEntry

        query = {"subject": subject or None, "action": action or None, "limit": limit, "before": before or None}
        return self._get("/audit", list[AuditEntry], query)

    def verify_audit(self, anchor: Checkpoint | None = None) -> AuditReport:
        """Whether the audit trail is as it was written, and `anchor` is in it."""
        from mlops_workbench.core.audit import AuditReport

        query = {"anchor": f"{anchor.seq}:{anchor.hash}"} if anchor is not None else {}
        return self._get("/audit/verify", AuditReport, query)

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
