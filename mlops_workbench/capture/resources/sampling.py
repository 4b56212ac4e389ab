"""Resources of runs: sampled once a second beside them, summed up when they end."""

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

#: Seconds between two looks, and how many looks a run that goes on for long is sampled at: (age, seconds between).
TICK_SECONDS = 1.0
_PACE = ((7200.0, 30.0), (600.0, 5.0), (0.0, TICK_SECONDS))
#: Share of a core that looking may take, and the longest time between two looks at runs: a process of thousands of
#: threads and children takes longer to look at than one of two.
_SHARE = 0.004
_LONGEST_REST = 30.0
_MB = 1e6


@dataclass
class _Tracked:
    """A run whose resources are looked at."""

    run: ActiveRun
    meter: Meter
    before: ProcessUsage
    began: float
    peak: int = 0
    #: Counters at its first sample; growth counts from there.
    system: SystemUsage | None = None
    disk: tuple[int, int] = (0, 0)
    due: float = 0.0
    step: int = 0


@dataclass(frozen=True)
class _Sample:
    """One look at everything."""

    at: float
    process: ProcessUsage
    system: SystemUsage | None
    disk: tuple[int, int]
    gpus: list[GpuUsage]


class ResourceSampler:
    """Samples what active runs use, and keeps the session's budget.

    Parameters
    ----------
    recorder : Recorder
        Where it is recorded.

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
        """Counts joules, from the first use on."""
        if self._counter is None:
            self._counter = EnergyCounter()
        return self._counter

    def begin(self, run: ActiveRun) -> None:
        """A run began; costs a look at this process."""
        usage = process_usage()
        tracked = _Tracked(run, self._meter(usage), usage, time.monotonic(), usage.resident)
        with self._lock:
            self._tracked[run.uid] = tracked
            if len(self._tracked) == 1:
                self.budget.working(True)
            if self._rest is None:
                rest = threading.Event()
                if start_daemon("mlops-resources", partial(self._sample_on, rest)):
                    self._rest = rest

    def end(self, run: ActiveRun) -> None:
        """A run ends: record what it took in all."""
        with self._lock:
            tracked = self._tracked.pop(run.uid, None)
            if tracked is not None and not self._tracked:
                self.budget.working(False)
        if tracked is not None and self._settings().resources:
            self._sum_up(tracked)

    def close(self) -> None:
        """Sum up the runs that go on beyond this process, and sample no more."""
        for tracked in list(self._tracked.values()):
            self.end(tracked.run)
        with self._lock:
            if self._rest is not None:
                self._rest.set()
                self._rest = None

    def active(self) -> bool:
        """Whether a run is under way."""
        return bool(self._tracked)

    def after_fork(self) -> None:
        """In a forked child there is no thread, and the runs are the parent's."""
        self._reset()
        self.budget.after_fork()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._tracked: dict[str, _Tracked] = {}
        self._rest: threading.Event | None = None

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

    def _sum_up(self, tracked: _Tracked) -> None:
        run, usage = tracked.run, process_usage()
        cost = tracked.meter.read(usage)
        peak = max(tracked.peak, usage.resident)
        if usage.peak > tracked.before.peak:
            # The system's own high-water mark is exact, if it was this run that raised it.
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
        run.metrics.update(values)
        self._recorder.write(Metrics(run.uid, now_ms(), tracked.step, values, "system"))
        if tags:
            run.tags.update(tags)
            self._recorder.write(Tags(run.uid, tags))

    def _sample_on(self, rest: threading.Event) -> None:
        with ignoring_children_of_this_thread():
            self._go_on(rest)

    def _go_on(self, rest: threading.Event) -> None:
        last: _Sample | None = None
        idle = 0
        seconds = TICK_SECONDS
        while not rest.wait(seconds):
            before = time.thread_time()
            try:
                with self._lock:
                    tracked = list(self._tracked.values())
                    # Cells follow each other: the thread of the last one serves the next.
                    idle = 0 if tracked else idle + 1
                    if idle > 10:
                        if self._rest is rest:
                            self._rest = None
                        return
                last = self._look(tracked, last) if tracked else None
            except Exception as error:  # noqa: BLE001 the outermost loop of a thread in the user's kernel
                notify(
                    f"resources could not be sampled ({type(error).__name__}: {error}); your code goes on",
                    once="resources",
                )
            seconds = rest_after(time.thread_time() - before)

    def _look(self, tracked: list[_Tracked], last: _Sample | None) -> _Sample | None:
        self.budget.look([one.run for one in tracked])
        self.counter.processors()
        now = time.monotonic()
        due = [one for one in tracked if now >= one.due]
        if not due or not self._settings().resources:
            return last
        sample = _Sample(now, process_usage(), system_usage(), disk_bytes(), self._gpus.read())
        self.counter.saw_gpus(sample.gpus)
        for one in due:
            one.due = now + _pace(now - one.began) - TICK_SECONDS / 2
            one.peak = max(one.peak, sample.process.resident)
            if one.system is None:
                one.system, one.disk = sample.system, sample.disk
            values = _values(sample, last, one)
            with self._lock:
                # Once a run has ended, its sums stand last.
                if one.run.uid in self._tracked:
                    self._recorder.write(Metrics(one.run.uid, now_ms(), one.step, values, "system"))
                    one.step += 1
        return sample


def rest_after(spent: float) -> float:
    """Seconds to rest after a look that took so many seconds of processor time."""
    return min(max(TICK_SECONDS, spent / _SHARE), _LONGEST_REST)


def _pace(age: float) -> float:
    return next(seconds for older, seconds in _PACE if age >= older)


def _values(sample: _Sample, last: _Sample | None, tracked: _Tracked) -> dict[str, float]:
    """Metrics of a sample under the names that MLflow has for them, and in their manner for what it has none for."""
    system = sample.system
    values = {"process_memory_usage_megabytes": sample.process.resident / _MB}
    before, since = (last.process, last.at) if last is not None else (tracked.before, tracked.began)
    if sample.at > since:
        used = max(0.0, sample.process.cpu_seconds - before.cpu_seconds)
        values["process_cpu_utilization_percentage"] = 100 * used / (sample.at - since)
    if system is not None:
        values["system_memory_usage_megabytes"] = system.memory_used / _MB
        values["system_memory_usage_percentage"] = 100 * system.memory_used / system.memory
        if last is not None and last.system is not None and system.total > last.system.total:
            busy = max(0.0, system.busy - last.system.busy)
            values["cpu_utilization_percentage"] = 100 * busy / (system.total - last.system.total)
        if tracked.system is not None:
            values["network_receive_megabytes"] = (system.received - tracked.system.received) / _MB
            values["network_transmit_megabytes"] = (system.sent - tracked.system.sent) / _MB
    values["disk_read_megabytes"] = (sample.disk[0] - tracked.disk[0]) / _MB
    values["disk_write_megabytes"] = (sample.disk[1] - tracked.disk[1]) / _MB
    for i, gpu in enumerate(sample.gpus):
        values[f"gpu_{i}_utilization_percentage"] = gpu.utilization
        values[f"gpu_{i}_memory_usage_megabytes"] = gpu.memory_used
        values[f"gpu_{i}_memory_usage_percentage"] = 100 * gpu.memory_used / (gpu.memory_total or 1)
        values[f"gpu_{i}_power_usage_watts"] = gpu.watts
    return {f"system/{name}": round(value, 2) for name, value in values.items()}
