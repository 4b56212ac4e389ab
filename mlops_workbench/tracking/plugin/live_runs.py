"""The runs that MLflow code of this process starts, joins, resumes and ends."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_USER
from mlflow.utils.name_utils import _generate_random_name

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.place import cell_source, notebook_path
from mlops_workbench.capture.run.active import STATUSES, ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.records import MLFLOW, RunEnd, RunStart
from mlops_workbench.core.sessions import user_name
from mlops_workbench.tracking.mapping.start_tags import start_tags
from mlops_workbench.tracking.plugin import joining
from mlops_workbench.tracking.plugin.live_run import LiveRun
from mlops_workbench.tracking.plugin.real_store import RealStore

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run, RunTag

#: Ended runs that are kept in memory: delivered ones, and those that are not delivered yet.
_KEPT, _MOST = 64, 4096
#: Milliseconds after its end in which a run is read from memory without being delivered.
_FRESH_MS = 5_000
#: Seconds between a failed delivery and the next attempt.
_RETRY_SECONDS = 15.0


class LiveRuns:
    """Runs of this process, by their id in MLflow code.

    Parameters
    ----------
    session : Session
        Records them.
    real : RealStore
        The store to which they are delivered.
    """

    def __init__(self, session: Session, real: RealStore) -> None:
        self.session = session
        self.real = real
        self.by_id: dict[str, LiveRun] = {}
        self._lock = threading.RLock()
        self._at_exit = False
        self._retry_at = 0.0
        session.run_ended.append(self._on_run_ended)

    def after_fork(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = threading.RLock()

    def find(self, run_id: str) -> LiveRun | None:
        """A run that is read from memory: one that this process writes, until its end is delivered."""
        live = self.by_id.get(run_id)
        if live is not None:
            if live.ended and self._is_delivered(live):
                # Another thread may have removed it meanwhile.
                self.by_id.pop(run_id, None)
                return None
            return live
        run = self.session.find_run(run_id)
        if run is None:
            current = self.session.current_run()
            run = current if current is not None and current.uid == run_id else None
        return None if run is None else self.join(run)

    def begin(
        self, experiment: Experiment, user_id: str, start_ms: int, tags: Iterable[RunTag], run_name: str | None
    ) -> LiveRun:
        """Start a run as MLflow does."""
        given = {tag.key: tag.value for tag in tags}
        tagged = given.get(MLFLOW_RUN_NAME)
        if run_name and tagged and run_name != tagged:
            raise MlflowException(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
                f"different values (run_name='{run_name}', mlflow.runName='{tagged}').",
                INVALID_PARAMETER_VALUE,
            )
        name = run_name or tagged or _generate_random_name()
        given[MLFLOW_RUN_NAME] = name
        uid = new_id()
        start = RunStart(
            run_uid=uid,
            name=name,
            experiment=experiment.name,
            start_ms=start_ms,
            parent_uid=self._parent(given),
            notebook=notebook_path(),
            source=cell_source(),
            tags=given,
            via=MLFLOW,
        )
        live = self._add(
            LiveRun(
                self.session.begin(start),
                experiment.experiment_id,
                user_id,
                start_ms,
                self.real.artifact_location(experiment, uid),
            )
        )
        self._end_at_exit()
        return live

    def joinable(self, tags: Iterable[RunTag]) -> ActiveRun | None:
        """The tracked run that MLflow code joins instead of starting a run implicitly, if there is one."""
        run = self.session.current_run()
        if run is None:
            return None
        known = self.by_id.get(run.uid)
        return run if (known is None or known.joined) and joining.is_implicit_run(tags) else None

    def join(self, run: ActiveRun) -> LiveRun:
        """Let MLflow code log to a run that a tracked cell, a block or a pipeline started."""
        with self._lock:
            if run.uid not in self.by_id:
                experiment = self.real.store.get_experiment(self.real.tracking.experiment_id(run.experiment))
                # The start of a run of another process is not known here.
                origin = {} if run.joined else start_tags(run.uid, run.start, user_name(), run.experiment)
                self.by_id[run.uid] = LiveRun(
                    run,
                    experiment.experiment_id,
                    str(run.tags.get(MLFLOW_USER) or origin.get(MLFLOW_USER, "unknown")),
                    run.start.start_ms,
                    self.real.artifact_location(experiment, run.uid),
                    origin=origin,
                    joined=True,
                    complete=not run.joined,
                )
            return self.by_id[run.uid]

    def parent_of_explicit_run(self) -> str:
        """Uid of the tracked run around a run that the user's code starts; empty if there is none."""
        run = self.session.current_run()
        if run is None:
            return ""
        known = self.by_id.get(run.uid)
        return run.uid if known is None or known.joined else ""

    def resume(self, run: Run) -> LiveRun | None:
        """Resume a run of the workbench that another process started, or that ended; None for any other run."""
        uid = run.info.run_id
        known = self.real.delivered(uid)
        if known is None or run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            return None
        experiment = self.real.store.get_experiment(run.info.experiment_id)
        active = self.session.begin(
            RunStart(
                uid,
                run.info.run_name or "",
                experiment.name,
                now_ms(),
                parent_uid=known.parent_uid,
                via=MLFLOW if known.plain else "",
            )
        )
        active.params.update(run.data.params)
        active.tags.update(run.data.tags)
        active.metrics.update(run.data.metrics)
        live = LiveRun(
            active,
            run.info.experiment_id,
            run.info.user_id,
            run.info.start_time,
            run.info.artifact_uri or "",
            complete=False,
        )
        live.end_ms = run.info.end_time
        live.earlier = {metric.key: metric for metric in run.data._metric_objs}
        if run.inputs is not None:
            live.dataset_inputs = list(run.inputs.dataset_inputs)
            live.model_inputs = list(run.inputs.model_inputs)
        if run.outputs is not None:
            live.model_outputs = list(run.outputs.model_outputs)
        self._end_at_exit()
        return self._add(live)

    def set_status(self, live: LiveRun, status: str, end_ms: int | None) -> None:
        """End or reopen a run; a joined run is left to the cell or pipeline that started it."""
        if live.joined:
            return
        if status == "SCHEDULED":
            self.real.deliver(live.uid)
            self.real.store.update_run_info(self.real.run_id(live.uid), 2, end_ms, None)
            live.scheduled = True
            return
        live.scheduled = False
        if status not in STATUSES:
            if live.ended:
                self._reopen(live)
            return
        live.end_ms = end_ms if end_ms is not None else live.end_ms
        if live.ended:
            live.run.status = status
            live.after_end = True
            self.session.write(RunEnd(live.uid, live.end_ms or now_ms(), status), sync=True)
        else:
            error = sys.exc_info()[1] if status == "FAILED" else None
            live.run.end(status, error=error, end_ms=live.end_ms or 0)
        self._drop_ended()

    def _reopen(self, live: LiveRun) -> None:
        before = live.run
        live.run = self.session.begin(
            RunStart(
                live.uid,
                live.name,
                before.experiment,
                now_ms(),
                parent_uid=before.start.parent_uid,
                via=before.start.via,
            )
        )
        live.run.params, live.run.tags, live.run.metrics = before.params, before.tags, before.metrics
        live.after_end = False

    def _add(self, live: LiveRun) -> LiveRun:
        with self._lock:
            self.by_id[live.uid] = live
        return live

    def _parent(self, tags: dict[str, str]) -> str:
        """Uid of the parent; its tag is removed if a server has other ids, since delivery writes it then."""
        parent = tags.get(MLFLOW_PARENT_RUN_ID, "")
        if not parent:
            return ""
        uid = self.real.uid(parent)
        if uid not in self.by_id and self.session.find_run(uid) is None and self.real.delivered(uid) is None:
            return ""
        if self.real.remote:
            del tags[MLFLOW_PARENT_RUN_ID]
        return uid

    def _is_delivered(self, live: LiveRun) -> bool:
        """Whether an ended run is delivered completely, so that it must be read from the store."""
        if not live.after_end:
            known = self.real.delivered(live.uid)
            if known is not None and known.ended:
                return True
            if now_ms() - live.run.end_ms < _FRESH_MS:
                # Often read right after its end, before anybody can have edited it.
                return False
        if time.monotonic() < self._retry_at:
            return False
        try:
            self.real.deliver(live.uid)
        except WorkbenchError:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return False
        return True

    def _drop_ended(self) -> None:
        with self._lock:
            ended = [live for live in list(self.by_id.values()) if live.ended and not live.after_end]
            for number, live in enumerate(ended[:-_KEPT]):
                known = self.real.delivered(live.uid)
                if (known is not None and known.ended) or number < len(ended) - _MOST:
                    self.by_id.pop(live.uid, None)

    def _on_run_ended(self, run: ActiveRun) -> None:
        live = self.by_id.get(run.uid)
        if live is not None and live.joined:
            # What MLflow logs after the tracked cell must not go to its run.
            try:
                joining.pop_run(run.uid, run.status)
            except Exception as error:  # noqa: BLE001 - must not keep the end of the run from being recorded
                notify(f"MLflow's active run could not be ended ({error});\n  call mlflow.end_run()", once="pop_run")

    def _end_at_exit(self) -> None:
        # Runs before the exit handler of the session: MLflow ends its runs as FINISHED, the session as KILLED.
        if not self._at_exit:
            self._at_exit = True
            atexit.register(joining.end_all)
