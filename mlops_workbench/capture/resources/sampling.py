"""Resources of runs: sampled once a second in a thread, summed up at the end of the run."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.threads import ignoring_children_of_this_thread, start_daemon
from mlops_workbench.capture.resources.budget import SessionBudget
from mlops_workbench.capture.resources.cost import Meter
from mlops_workbench.capture.resources.energy import EnergyCounter
from mlops_workbench.capture.resources.gpus import Gpus, GpuUsage
from mlops_workbench.capture.resources.usage import ProcessUsage, SystemUsage, disk_bytes, process_usage, system_usage
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Metrics, Tags
from mlops_workbench.core.settings import CaptureSettings, PriceSettings
from mlops_workbench.core.tags import CURRENCY, ENERGY

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.active import ActiveRun

#: Seconds between two samples, and between those of long runs: (age, seconds).
TICK_SECONDS = 1.0
_INTERVALS = ((7200.0, 30.0), (600.0, 5.0), (0.0, TICK_SECONDS))
#: Share of a core that sampling may take, and the longest time between two samples: sampling a process with thousands
#: of threads and children takes long.
_SHARE = 0.004
_LONGEST_INTERVAL = 30.0
_MB = 1e6


@dataclass
class _Sampled:
    """A run whose resources are sampled."""

    run: ActiveRun
    meter: Meter
    before: ProcessUsage
    started: float
    peak: int = 0
    #: Counters at its first sample, from which growth is counted.
    system: SystemUsage | None = None
    disk: tuple[int, int] = (0, 0)
    due: float = 0.0
    step: int = 0


@dataclass(frozen=True)
class _Sample:
    """Usage of process, machine and GPUs at a moment."""

    at: float
    process: ProcessUsage
    system: SystemUsage | None
    disk: tuple[int, int]
    gpus: list[GpuUsage]


class ResourceSampler:
    """Samples the resources of active runs, and checks the session's budget.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the runs.

    Attributes
    ----------
    budget : SessionBudget
        The session's budget.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._gpus = Gpus()
        self._counter: EnergyCounter | None = None
        self.budget = SessionBudget(self._meter)
        self._reset()

    @property
    def counter(self) -> EnergyCounter:
        """Counter of joules, created at the first use."""
        if self._counter is None:
            self._counter = EnergyCounter()
        return self._counter

    def begin(self, run: ActiveRun) -> None:
        """Start sampling for a run."""
        usage = process_usage()
        sampled = _Sampled(run, self._meter(usage), usage, time.monotonic(), usage.resident)
        with self._lock:
            self._runs[run.uid] = sampled
            if len(self._runs) == 1:
                self.budget.set_active(True)
            if self._stopping is None:
                stopping = threading.Event()
                if start_daemon("mlops-resources", partial(self._run_thread, stopping)):
                    self._stopping = stopping

    def end(self, run: ActiveRun) -> None:
        """Stop sampling for a run and record its totals."""
        with self._lock:
            sampled = self._runs.pop(run.uid, None)
            if sampled is not None and not self._runs:
                self.budget.set_active(False)
        if sampled is not None and self._settings().resources:
            self._sum_up(sampled)

    def close(self) -> None:
        """Record the totals of all runs, and stop sampling."""
        for sampled in list(self._runs.values()):
            self.end(sampled.run)
        with self._lock:
            if self._stopping is not None:
                self._stopping.set()
                self._stopping = None

    def active(self) -> bool:
        """Whether a run is active."""
        return bool(self._runs)

    def after_fork(self) -> None:
        """Reset in a forked child: it has no thread, and the runs belong to the parent."""
        self._reset()
        self.budget.after_fork()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[str, _Sampled] = {}
        self._stopping: threading.Event | None = None

    def _meter(self, usage: ProcessUsage | None = None) -> Meter:
        return Meter(self.counter, self._prices(), usage)

    def _settings(self) -> CaptureSettings:
        try:
            return self._recorder.workspace.settings.capture
        except WorkbenchError:
            return CaptureSettings()

    def _prices(self) -> PriceSettings:
        try:
            return self._recorder.workspace.settings.prices
        except WorkbenchError:
            return PriceSettings()

    def _sum_up(self, sampled: _Sampled) -> None:
        run, usage = sampled.run, process_usage()
        cost = sampled.meter.read(usage)
        peak = max(sampled.peak, usage.resident)
        if usage.peak > sampled.before.peak:
            # The system's maximum is exact, if this run raised it.
            peak = max(peak, usage.peak)
        values = {
            "system/peak_memory_megabytes": round(peak / _MB, 1),
            "system/cpu_seconds": round(cost.cpu_seconds, 3),
        }
        tags = {}
        if cost.energy_wh is not None:
            values["system/energy_wh"] = cost.energy_wh
            tags[ENERGY] = "measured" if cost.measured else "estimated"
        if cost.money is not None:
            values["system/cost"] = cost.money
            tags[CURRENCY] = self._prices().currency
        if not run.start.via:
            run.metrics.update(values)
        self._recorder.write(Metrics(run.uid, now_ms(), sampled.step, values, "system"))
        if tags:
            run.tags.update(tags)
            self._recorder.write(Tags(run.uid, tags))

    def _run_thread(self, stopping: threading.Event) -> None:
        with ignoring_children_of_this_thread():
            self._sample_until(stopping)

    def _sample_until(self, stopping: threading.Event) -> None:
        last: _Sample | None = None
        idle = 0
        seconds = TICK_SECONDS
        while not stopping.wait(seconds):
            before = time.thread_time()
            try:
                with self._lock:
                    runs = list(self._runs.values())
                    # The thread waits for the run of the next cell before it ends.
                    idle = 0 if runs else idle + 1
                    if idle > 10:
                        if self._stopping is stopping:
                            self._stopping = None
                        return
                last = self._sample(runs, last) if runs else None
            except Exception as error:  # noqa: BLE001 the outermost loop of a thread in the user's kernel
                notify(
                    f"resources could not be sampled ({type(error).__name__}: {error}); your code continues",
                    once="resources",
                )
            seconds = interval_after(time.thread_time() - before)

    def _sample(self, runs: list[_Sampled], last: _Sample | None) -> _Sample | None:
        self.budget.check([one.run for one in runs])
        self.counter.processors()
        now = time.monotonic()
        due = [one for one in runs if now >= one.due]
        if not due or not self._settings().resources:
            return last
        sample = _Sample(now, process_usage(), system_usage(), disk_bytes(), self._gpus.read())
        self.counter.add_gpus(sample.gpus)
        for one in due:
            one.due = now + _interval(now - one.started) - TICK_SECONDS / 2
            one.peak = max(one.peak, sample.process.resident)
            if one.system is None:
                one.system, one.disk = sample.system, sample.disk
            values = _values(sample, last, one)
            with self._lock:
                # The totals of an ended run must be its last values.
                if one.run.uid in self._runs:
                    self._recorder.write(Metrics(one.run.uid, now_ms(), one.step, values, "system"))
                    one.step += 1
        return sample


def interval_after(spent: float) -> float:
    """Return the seconds until the next sample, after one that took `spent` seconds of processor time."""
    return min(max(TICK_SECONDS, spent / _SHARE), _LONGEST_INTERVAL)


def _interval(age: float) -> float:
    return next(seconds for older, seconds in _INTERVALS if age >= older)


def _values(sample: _Sample, last: _Sample | None, sampled: _Sampled) -> dict[str, float]:
    """Return the metrics of a sample with MLflow's names for system metrics, or similar ones."""
    system = sample.system
    values = {"process_memory_usage_megabytes": sample.process.resident / _MB}
    before, since = (last.process, last.at) if last is not None else (sampled.before, sampled.started)
    if sample.at > since:
        used = sample.process.since(before)
        values["process_cpu_utilization_percentage"] = 100 * used / (sample.at - since)
    if system is not None:
        values["system_memory_usage_megabytes"] = system.memory_used / _MB
        values["system_memory_usage_percentage"] = 100 * system.memory_used / system.memory
        if last is not None and last.system is not None and system.total > last.system.total:
            busy = max(0.0, system.busy - last.system.busy)
            values["cpu_utilization_percentage"] = 100 * busy / (system.total - last.system.total)
        if sampled.system is not None:
            values["network_receive_megabytes"] = (system.received - sampled.system.received) / _MB
            values["network_transmit_megabytes"] = (system.sent - sampled.system.sent) / _MB
    values["disk_read_megabytes"] = (sample.disk[0] - sampled.disk[0]) / _MB
    values["disk_write_megabytes"] = (sample.disk[1] - sampled.disk[1]) / _MB
    for i, gpu in enumerate(sample.gpus):
        values[f"gpu_{i}_utilization_percentage"] = gpu.utilization
        values[f"gpu_{i}_memory_usage_megabytes"] = gpu.memory_used
        values[f"gpu_{i}_memory_usage_percentage"] = 100 * gpu.memory_used / (gpu.memory_total or 1)
        values[f"gpu_{i}_power_usage_watts"] = gpu.watts
    return {f"system/{name}": round(value, 2) for name, value in values.items()}
