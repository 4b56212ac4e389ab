"""Cost and reliability of capture, compared with other trackers.

``make bench NAME=capture``. The workbench and its peers run in turns, so that changes of the machine's speed affect
both. W&B and DVCLive are installed once into a cache folder. The last line of the output is JSON; times of one call
are medians over rounds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "journal")]

#: Peers in the comparison of one call.
PEERS = ("wandb==0.31.0", "dvclive==3.49.1")
ROUNDS = 15
#: Calls per round, fewer for slow peers, so that rounds take a similar time.
CALLS = {"ours": 5_000, "mlflow": 40, "wandb": 500, "dvclive": 500}
TRIALS = 200


def main() -> None:
    """Run the parts named in the arguments (default: all) and print the figures."""
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "log": one_call,
        "plugin": plugin,
        "load": loading,
        "ready": ready,
        "cell": cells,
        "sampler": sampler,
        "kill9": kills,
        "ingest": ingest,
        "search": search,
        "digest": digest,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; by default all")
    chosen = parser.parse_args().parts or list(parts)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    figures: dict[str, Any] = {}
    if len(chosen) == 1:
        with tempfile.TemporaryDirectory(prefix=f"bench-{chosen[0]}-") as folder:
            figures = parts[chosen[0]](Path(folder))
            os.chdir(ROOT)
    else:
        # Each part in a process of its own, so that the memory of one does not affect the next.
        for name in chosen:
            done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True, check=True)
            report(f"{name}: {done.stdout.splitlines()[-1]}")
            figures |= json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(figures))


def report(text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def one_call(folder: Path) -> dict[str, Any]:
    """Time to log one metric: the workbench, ``mlflow.log_metric`` on SQLite, W&B offline and DVCLive."""
    sys.path.append(str(peers()))  # last, so that installed packages come first
    os.environ |= {
        "MLOPS_WORKSPACE": str(folder),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(folder),
        "DVC_NO_ANALYTICS": "1",
    }
    # DVCLive writes into the repository of the working folder.
    os.chdir(folder)
    import dvclive
    import mlflow
    import wandb

    from mlops_workbench.capture import log, track

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'peer.db'}")
    live = dvclive.Live(str(folder / "dvclive"), save_dvc_exp=False, report=None)
    wandb_run = wandb.init(project="bench", settings=wandb.Settings(console="off", x_disable_stats=True))
    with mlflow.start_run(), track("bench"):
        calls: dict[str, Callable[[int], object]] = {
            "ours": lambda step: log(auc=0.9, step=step),
            "mlflow": lambda step: mlflow.log_metric("auc", 0.9, step=step),
            "wandb": lambda step: wandb_run.log({"auc": 0.9}, step=step),
            "dvclive": lambda step: _live(live, step),
        }
        rounds = take_turns(calls, CALLS)
    wandb_run.finish()
    live.end()
    medians = {name: statistics.median(found) for name, found in rounds.items()}
    best = [min(rounds[name][i] for name in ("mlflow", "wandb", "dvclive")) for i in range(ROUNDS)]
    return {
        "log_us_p50": round(medians["ours"], 3),
        "mlflow_us_p50": round(medians["mlflow"], 1),
        "wandb_us_p50": round(medians["wandb"], 1),
        "dvclive_us_p50": round(medians["dvclive"], 1),
        "ratio_mlflow": _ratio(rounds["mlflow"], rounds["ours"]),
        "ratio_best_peer": _ratio(best, rounds["ours"]),
    }


def _live(live: Any, step: int) -> None:
    live.step = step
    live.log_metric("auc", 0.9)


def take_turns(calls: dict[str, Callable[[int], object]], counts: dict[str, int]) -> dict[str, list[float]]:
    """Return microseconds per call by name and round, without a first round for warm-up."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            time_of_call = per_call(call, number * counts[name], counts[name])
            if number:
                found[name].append(time_of_call)
        if number:
            report(f"round {number}: " + ", ".join(f"{name} {times[-1]:.2f} us" for name, times in found.items()))
    return found


def per_call(call: Callable[[int], object], first: int, count: int) -> float:
    """Return microseconds per call, over `count` calls."""
    started = time.perf_counter_ns()
    for step in range(first, first + count):
        call(step)
    return (time.perf_counter_ns() - started) / count / 1000


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return round(statistics.median(their / own for their, own in zip(theirs, ours, strict=True)), 1)


def peers() -> Path:
    """Return the folder of the peers; install them if it does not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mlops-workbench" / ("peers-" + "-".join(PEERS).replace("==", "-"))
    if not (folder / ".compiled").exists():
        report(f"installing {', '.join(PEERS)}")
        subprocess.run(
            # With bytecode, as for the workbench and MLflow.
            [
                *("uv", "pip", "install", "--quiet", "--compile-bytecode"),
                *("--python", sys.executable, "--target", str(folder), *PEERS),
            ],
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            check=True,
        )
        (folder / ".compiled").touch()
    return folder


def plugin(folder: Path) -> dict[str, Any]:
    """Time of ``mlflow.log_metric``, through the journal and directly into SQLite."""
    return importlib.import_module("plugin_speed").plugin_speed(folder)


LOADING = """
import sys, time
{before}
started = time.perf_counter()
{load}
print((time.perf_counter() - started) * 1000)
"""
_SHELL = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()"
#: With the first cell, because the extension imports the hooks of cells then.
_FIRST = "shell.run_line_magic('load_ext', 'mlops_workbench')\nshell.run_cell('x = 1', store_history=True)"


def loading(folder: Path) -> dict[str, Any]:
    """Time to load the extension in a new IPython, and of ``import mlflow``."""
    programs = {
        "load_ext_ms": (_SHELL, "shell.run_line_magic('load_ext', 'mlops_workbench')"),
        "load_ext_and_first_cell_ms": (_SHELL + "\nshell.run_cell('x = 0')", _FIRST),
        "mlflow_import_ms": ("", "import mlflow"),
    }
    found: dict[str, list[float]] = {name: [] for name in programs}
    environment = {**os.environ, "MLOPS_WORKSPACE": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    for _ in range(8):
        for name, (before, load) in programs.items():
            done = subprocess.run(
                [sys.executable, "-c", LOADING.format(before=before, load=load)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            found[name].append(float(done.stdout.split()[-1]))
    # The first time includes reads from the disk.
    return {name: round(statistics.median(times[1:]), 1) for name, times in found.items()}


_SETUP = {
    "plain": "x = 1",
    "loaded": "%load_ext mlops_workbench\nx = 1",
    "autotracked": "%load_ext mlops_workbench\n%mlops autotrack on\nx = 1",
}
PAIRS = 21


def ready(folder: Path) -> dict[str, Any]:
    """Time from the start of a kernel to the reply to the second of two trivial cells, through nbclient."""
    import nbformat
    from nbclient import NotebookClient

    os.environ |= {"MLOPS_WORKSPACE": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    (folder / "workbench.toml").touch()
    found: dict[str, list[float]] = {name: [] for name in _SETUP}
    calibration = []
    for number in range(PAIRS + 1):
        names = list(_SETUP)
        for name in names[number % 3 :] + names[: number % 3]:
            notebook = nbformat.v4.new_notebook()
            notebook.cells = [nbformat.v4.new_code_cell(source) for source in (_SETUP[name], "y = 2")]
            client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
            started = time.perf_counter()
            with client.setup_kernel():
                for index, cell in enumerate(notebook.cells):
                    client.execute_cell(cell, index)
                # The first time includes reads from the disk.
                if number:
                    found[name].append((time.perf_counter() - started) * 1000)
        calibration.append(per_call(lambda step: sum(range(step, step + 1000)), 0, 2000))
        report(f"round {number}: " + ", ".join(f"{name} {times[-1:]}" for name, times in found.items()))
    pairs = {
        "kernel_ready_overhead_ms": zip(found["loaded"], found["plain"], strict=True),
        "autotrack_overhead_ms": zip(found["autotracked"], found["loaded"], strict=True),
    }
    return {
        **{name: round(statistics.median(one - other for one, other in both), 1) for name, both in pairs.items()},
        "kernel_ready_plain_ms": round(statistics.median(found["plain"]), 1),
        "kernel_ready_pairs": PAIRS,
        "kernel_ready_load": round(os.getloadavg()[0], 2),
        "kernel_ready_calibration_us": round(statistics.median(calibration), 1),
    }


#: Cells of ordinary size, each with a run time well below a millisecond.
CELLS = (
    "a = 3\nb = [a, 2]\ntext = f'{a} and {b}'",
    "def mean(values):\n    total = 0\n    for one in values:\n        total += one\n    return total / len(b)",
    "result = mean(b)\nrows = [{'x': i, 'y': i ** 2} for i in range(20)]",
    "import math\nroots = {row['x']: math.sqrt(row['y']) for row in rows}\nbest = max(roots, key=roots.get)",
    "class Point:\n    def __init__(self, x):\n        self.x = x\n\npoints = [Point(i) for i in range(5)]",
    "b.append(result)\nrows[0]['x'] = len(points)\ntext",
)


def cells(folder: Path) -> dict[str, Any]:
    """Time from request to reply of a cell, in kernels with and without the extension, in turns."""
    from jupyter_client.manager import start_new_kernel

    kernels: dict[str, Any] = {}
    found: dict[str, list[float]] = {"plain": [], "watched": []}
    environment = {**os.environ, "MLOPS_WORKSPACE": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    try:
        for name in found:
            kernels[name] = start_new_kernel(kernel_name="python3", env=environment, cwd=str(folder))
        _reply(kernels["watched"][1], "%load_ext mlops_workbench")
        for number in range(240):
            turns = list(kernels.items())
            for name, (_, client) in turns if number % 2 else reversed(turns):
                milliseconds = _reply(client, CELLS[number % len(CELLS)])
                if number >= 40:
                    found[name].append(milliseconds)
            # The work of a kernel after its reply must not affect the next measurement.
            time.sleep(0.05)
    finally:
        for manager, client in kernels.values():
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    pairs = [watched - plain for watched, plain in zip(found["watched"], found["plain"], strict=True)]
    return {
        "cell_overhead_ms_p50": round(statistics.median(pairs), 3),
        "cell_plain_ms_p50": round(statistics.median(found["plain"]), 3),
    }


def _reply(client: Any, code: str) -> float:
    """Return milliseconds from the request to the reply."""
    started = time.perf_counter()
    request = client.execute(code)
    while True:
        message = client.get_shell_msg(timeout=60)
        if message["parent_header"].get("msg_id") == request:
            assert message["content"]["status"] == "ok", message["content"]
            return (time.perf_counter() - started) * 1000


def sampler(folder: Path) -> dict[str, Any]:
    """Share of a core used by sampling once a second."""
    return importlib.import_module("sampler_speed").sampler_percent_of_core(folder)


def kills(folder: Path) -> dict[str, Any]:
    """Records lost or duplicated after kills of logging processes at random times."""
    counts = importlib.import_module("kill_trials").run_trials(TRIALS, folder, seed=int(time.time()))
    return {
        "kill9_trials": counts.trials,
        "kill9_lost": counts.lost,
        "kill9_duplicated": counts.duplicated,
        "kill9_false": counts.false,
    }


def ingest(folder: Path) -> dict[str, Any]:
    """Speed of delivery from the journal to MLflow and the read index, and of MLflow's ``log_batch``."""
    return importlib.import_module("ingest_speed").ingest_speed(1_000_000, folder)


def search(folder: Path) -> dict[str, Any]:
    """Time to find the first 100 of 100,000 runs by a metric, and that of MLflow in the same store."""
    return importlib.import_module("search_speed").search_speed(100_000, folder)


def digest(folder: Path) -> dict[str, Any]:
    """Speed of the digest of a table, and of other digests."""
    return importlib.import_module("digest_speed").digest_gb_per_s()


if __name__ == "__main__":
    main()
