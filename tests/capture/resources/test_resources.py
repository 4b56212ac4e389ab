"""Resources, energy and cost of runs of this process."""

import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels import until

from mlops_workbench import log, track
from mlops_workbench.capture.resources import sampling as resources_module
from mlops_workbench.capture.resources.cost import Meter, money_of, prices_missing
from mlops_workbench.capture.resources.energy import EnergyCounter
from mlops_workbench.capture.resources.gpus import GpuUsage, parse_usage
from mlops_workbench.capture.resources.sampling import _interval, interval_after
from mlops_workbench.capture.resources.usage import process_usage, system_usage
from mlops_workbench.core.records import Metrics, RunEnd, Tags
from mlops_workbench.core.settings import PriceSettings


def system_metrics(records, run):
    uid = records.start(run).run_uid
    return [r for r in records.all() if isinstance(r, Metrics) and r.run_uid == uid and r.origin == "system"]


def spin(seconds):
    """Use that much processor time, however busy the machine is."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def test_a_run_of_an_instant_has_peak_memory_and_cpu_seconds(session, records):
    with track("r") as run:
        spin(0.05)
    (sums,) = system_metrics(records, "r")
    assert set(sums.values) == {"system/peak_memory_megabytes", "system/cpu_seconds"}
    assert 5 < sums.values["system/peak_memory_megabytes"] < 100_000 and sums.values["system/cpu_seconds"] > 0.049
    assert run.metrics == sums.values
    # The sums stand before the end: what ends a run ends its delivery.
    order = [type(r) for r in records.all() if getattr(r, "run_uid", "") == run.uid]
    assert order.index(Metrics) < order.index(RunEnd)


#: A process that has used much and outlives its parent, whose end the caller waits for.
DETACHED = """
import os, sys, time
if os.fork() == 0:
    while time.process_time() < 0.3:
        sum(range(1000))
    print("used", flush=True)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.readline()
os._exit(0)
"""


@pytest.mark.process
def test_what_leaves_the_process_takes_no_time_off_a_run(session, records):
    process = subprocess.Popen([sys.executable, "-c", DETACHED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"used\n"
    with track("r"):
        spin(0.05)
        process.communicate(b"\n\n")
    (sums,) = system_metrics(records, "r")
    assert sums.values["system/cpu_seconds"] > 0.049


def test_a_run_is_sampled_in_one_record_under_the_names_of_mlflow(session, records):
    with track("r"):
        log(mine=1)
        until(lambda: len(system_metrics(records, "r")) >= 2, "two samples")
    first, second = system_metrics(records, "r")[:2]
    assert (first.step, second.step) == (0, 1) and second.at_ms > first.at_ms
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
        "system/network_receive_megabytes",
        "system/network_transmit_megabytes",
        "system/process_cpu_utilization_percentage",
        "system/process_memory_usage_megabytes",
        "system/disk_read_megabytes",
        "system/disk_write_megabytes",
    } <= set(second.values)
    assert 0 <= second.values["system/cpu_utilization_percentage"] <= 100
    assert 0 < second.values["system/system_memory_usage_percentage"] < 100


def test_the_peak_is_seen_even_when_it_is_over_before_a_sample(session, records):
    with track("r") as run:
        before = process_usage().peak / 1e6
        held = bytearray(int(before * 1e6) + (200 << 20))
        held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
        del held
    assert run.metrics["system/peak_memory_megabytes"] >= before + 200


@pytest.mark.process
def test_processor_time_and_memory_of_living_and_ended_children_count(session, records):
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ninput()"
    with track("living") as living:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
    with track("ended") as ended:
        child.communicate(b"\n")
        subprocess.run([sys.executable, "-c", code], input=b"\n", stdout=subprocess.DEVNULL, check=True)
    assert living.metrics["system/cpu_seconds"] > 0.28 and ended.metrics["system/cpu_seconds"] > 0.28


def test_resources_can_be_turned_off(session, records, monkeypatch):
    monkeypatch.setenv("MLOPS_CAPTURE_RESOURCES", "false")
    with track("r") as run:
        pass
    assert run.metrics == {} and system_metrics(records, "r") == []


def test_a_long_run_is_sampled_less_often():
    assert [_interval(age) for age in (0, 599, 600, 7199, 7200, 36_000)] == [1, 1, 5, 5, 30, 30]
    samples = 600 + (7200 - 600) / 5 + (36_000 - 7200) / 30
    assert samples < 3000


@given(st.floats(0, 0.1))
def test_sampling_takes_less_than_half_a_percent_of_a_core(spent):
    interval = interval_after(spent)
    assert interval >= 1 and spent / (spent + interval) < 0.005


def test_a_process_whose_sampling_is_slow_is_sampled_less_often(session, records, monkeypatch):
    def slow():
        spin(0.05)
        return system_usage()

    monkeypatch.setattr(resources_module, "system_usage", slow)
    with track("r"):
        until(lambda: system_metrics(records, "r"), "a sample")
        time.sleep(2.5)
        assert len(system_metrics(records, "r")) == 1


def test_sampling_goes_on_from_cell_to_cell_and_ends_when_nothing_is_tracked(session, monkeypatch):
    monkeypatch.setattr(resources_module, "TICK_SECONDS", 0.01)

    def threads():
        return [t for t in threading.enumerate() if t.name == "mlops-resources"]

    with track("one"):
        (first,) = threads()
    with track("two"):
        assert threads() == [first] and first.daemon
    until(lambda: not threads(), "the end of the thread")
    with track("three"):
        assert len(threads()) == 1


def test_the_machine_and_the_process_are_read():
    usage, system = process_usage(), system_usage()
    assert 0 < usage.resident <= usage.peak * 64 and usage.cpu_seconds > 0
    assert 0 < system.busy < system.total and 0 < system.memory_used < system.memory


PRICES = PriceSettings(machine="laptop", per_hour={"laptop": 3.6}, per_kwh=0.5, idle_watts=10, busy_watts=50)


def test_energy_is_estimated_from_processor_time_and_money_from_the_table(tmp_path):
    meter = Meter(EnergyCounter(tmp_path), PRICES)
    spin(0.2)
    cost = meter.read()
    expected = (10 * cost.seconds + 40 * cost.cpu_seconds / os.cpu_count()) / 3600
    assert cost.energy_wh == pytest.approx(expected) and not cost.measured and cost.cpu_seconds > 0.199
    assert cost.money == pytest.approx(3.6 * cost.seconds / 3600 + 0.5 * cost.energy_wh / 1000)


def test_without_watts_and_prices_nothing_is_made_up(tmp_path):
    cost = Meter(EnergyCounter(tmp_path), PriceSettings()).read()
    assert cost.energy_wh is None and cost.money is None
    assert money_of(PriceSettings(per_kwh=1), 3600, None) is None
    assert money_of(PriceSettings(machine="x", per_hour={"y": 1}), 3600, None) is None
    assert money_of(PriceSettings(machine="y", per_hour={"y": 1}), 1800, None) == 0.5


def test_energy_is_measured_where_the_machine_counts_it(tmp_path):
    for name, value in (("intel-rapl:0", 5_000_000), ("intel-rapl:1", 90_000_000), ("intel-rapl:0:0", 1)):
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(str(value))
        (zone / "max_energy_range_uj").write_text("100000000")
    meter = Meter(EnergyCounter(tmp_path), PRICES)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("41000000")
    # This one starts again at zero after 100 J.
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("26000000")
    cost = meter.read()
    assert cost.measured and cost.energy_wh == pytest.approx((36 + 36) / 3600)


def test_the_power_of_gpus_is_summed_over_time(tmp_path):
    counter = EnergyCounter(tmp_path)
    gpu = parse_usage("35, 1000, 40000, 250.5\n[N/A], 0, 16000, [N/A]\n")
    assert gpu == [GpuUsage(35, 1048.576, 41943.04, 250.5), GpuUsage(0, 0, 16777.216, 0)]
    counter.add_gpus(gpu)
    assert counter.gpus() == 0
    began = time.monotonic()
    counter.add_gpus(gpu)
    assert 0 < counter.gpus() <= 250.5 * (time.monotonic() - began + 60)


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (PriceSettings(), "add to workbench.toml"),
        (PriceSettings(per_kwh=0.3), "add to workbench.toml"),
        (PriceSettings(machine="gpu", per_hour={"cpu": 1}), "'gpu' has no price in per_hour (known: cpu)"),
        (PriceSettings(per_kwh=0.3, busy_watts=65), ""),
        (PRICES, ""),
    ],
)
def test_missing_prices_are_reported(prices, said):
    missing = prices_missing(prices)
    assert said in missing and bool(missing) == bool(said)


def test_a_run_has_its_energy_and_its_cost(workspace, session, records):
    (workspace.root / "workbench.toml").write_text(
        '[prices]\nmachine = "a"\nidle_watts = 10\nbusy_watts = 50\ncurrency = "CHF"\n[prices.per_hour]\na = 3600\n'
    )
    with track("r") as run:
        spin(0.05)
    (sums,) = system_metrics(records, "r")
    assert sums.values["system/cost"] >= 0.05 and sums.values["system/energy_wh"] > 0
    tags = {k: v for r in records.all() if isinstance(r, Tags) for k, v in r.values.items()}
    assert tags["mlops.currency"] == "CHF" and tags["mlops.energy"] == run.tags["mlops.energy"]
    assert tags["mlops.energy"] == ("measured" if EnergyCounter().counts_processors else "estimated")
