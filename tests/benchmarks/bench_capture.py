"""What capture costs and what it keeps, beside the trackers that a user would pick instead.

``make bench NAME=capture``. Everything runs here and now, ours and the peers' taking turns, so that a machine
whose speed drifts drifts for both. W&B and DVCLive are installed into a folder of their own, which is used
again the next time. The last line is JSON; times of one call are medians over rounds.
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

#: Peers of one call, as a user gets them.
PEERS = ("wandb==0.31.0", "dvclive==3.49.1")
ROUNDS = 15
#: Calls a round: a slow peer has fewer, so that a round is about as long for each.
CALLS = {"ours": 5_000, "mlflow": 40, "wandb": 500, "dvclive": 500}
TRIALS = 200


def main() -> None:
    """Measure what was named, everything by default, and print."""
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "log": one_call,
        "plugin": plugin,
        "load": loading,
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
        # A process for each part, with ours and the peers in it: what one leaves in memory is not the next one's.
        for name in chosen:
            done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True, check=True)
            tell(f"{name}: {done.stdout.splitlines()[-1]}")
            figures |= json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(figures))


def tell(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def one_call(folder: Path) -> dict[str, Any]:
    """One metric a call: ours, ``mlflow.log_metric`` on SQLite, W&B offline and DVCLive, in this process."""
    sys.path.append(str(peers()))  # last: what both need is ours
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
    theirs = wandb.init(project="bench", settings=wandb.Settings(console="off", x_disable_stats=True))
    with mlflow.start_run(), track("bench"):
        calls: dict[str, Callable[[int], object]] = {
            "ours": lambda step: log(auc=0.9, step=step),
            "mlflow": lambda step: mlflow.log_metric("auc", 0.9, step=step),
            "wandb": lambda step: theirs.log({"auc": 0.9}, step=step),
            "dvclive": lambda step: _live(live, step),
        }
        rounds = take_turns(calls, CALLS)
    theirs.finish()
    live.end()
    middle = {name: statistics.median(found) for name, found in rounds.items()}
    best = [min(rounds[name][i] for name in ("mlflow", "wandb", "dvclive")) for i in range(ROUNDS)]
    return {
        "log_us_p50": round(middle["ours"], 3),
        "mlflow_us_p50": round(middle["mlflow"], 1),
        "wandb_us_p50": round(middle["wandb"], 1),
        "dvclive_us_p50": round(middle["dvclive"], 1),
        "ratio_mlflow": _ratio(rounds["mlflow"], rounds["ours"]),
        "ratio_best_peer": _ratio(best, rounds["ours"]),
    }


def _live(live: Any, step: int) -> None:
    live.step = step
    live.log_metric("auc", 0.9)


def take_turns(calls: dict[str, Callable[[int], object]], counts: dict[str, int]) -> dict[str, list[float]]:
    """Microseconds a call of each, round by round; the first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            took = per_call(call, number * counts[name], counts[name])
            if number:
                found[name].append(took)
        if number:
            tell(f"round {number}: " + ", ".join(f"{name} {times[-1]:.2f} us" for name, times in found.items()))
    return found


def per_call(call: Callable[[int], object], first: int, count: int) -> float:
    """Microseconds a call, over `count` calls."""
    started = time.perf_counter_ns()
    for step in range(first, first + count):
        call(step)
    return (time.perf_counter_ns() - started) / count / 1000


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return round(statistics.median(their / own for their, own in zip(theirs, ours, strict=True)), 1)


def peers() -> Path:
    """Folder with the peers, installed when it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mlops-workbench" / ("peers-" + "-".join(PEERS).replace("==", "-"))
    if not (folder / ".compiled").exists():
        tell(f"installing {', '.join(PEERS)}")
        subprocess.run(
            # With bytecode, as the workbench and MLflow have it.
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
    """Plain ``mlflow.log_metric``: through the journal, and straight into SQLite."""
    return importlib.import_module("plugin_speed").plugin_speed(folder)


LOADING = """
import sys, time
{before}
started = time.perf_counter()
{load}
print((time.perf_counter() - started) * 1000)
"""
_SHELL = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()"
#: With the first cell, which is when the extension imports what watches cells.
_FIRST = "shell.run_line_magic('load_ext', 'mlops_workbench')\nshell.run_cell('x = 1', store_history=True)"


def loading(folder: Path) -> dict[str, Any]:
    """The extension in a fresh interpreter beyond IPython itself, and ``import mlflow``."""
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
    # The first of each reads from the disk.
    return {name: round(statistics.median(times[1:]), 1) for name, times in found.items()}


#: Cells of ordinary size, as they stand in notebooks: each runs in well under a millisecond by itself.
CELLS = (
    "a = 3\nb = [a, 2]\ntext = f'{a} and {b}'",
    "def mean(values):\n    total = 0\n    for one in values:\n        total += one\n    return total / len(b)",
    "result = mean(b)\nrows = [{'x': i, 'y': i ** 2} for i in range(20)]",
    "import math\nroots = {row['x']: math.sqrt(row['y']) for row in rows}\nbest = max(roots, key=roots.get)",
    "class Point:\n    def __init__(self, x):\n        self.x = x\n\npoints = [Point(i) for i in range(5)]",
    "b.append(result)\nrows[0]['x'] = len(points)\ntext",
)


def cells(folder: Path) -> dict[str, Any]:
    """A cell in a kernel with the extension and in one without, taking turns; time until the reply."""
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
                took = _reply(client, CELLS[number % len(CELLS)])
                if number >= 40:
                    found[name].append(took)
            # What a kernel does after its reply is not the other one's burden, nor the next cell's.
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
    """Milliseconds from the request to the reply."""
    started = time.perf_counter()
    request = client.execute(code)
    while True:
        message = client.get_shell_msg(timeout=60)
        if message["parent_header"].get("msg_id") == request:
            assert message["content"]["status"] == "ok", message["content"]
            return (time.perf_counter() - started) * 1000


def sampler(folder: Path) -> dict[str, Any]:
    """What sampling once a second takes of a core."""
    return importlib.import_module("sampler_speed").sampler_percent_of_core(folder)


def kills(folder: Path) -> dict[str, Any]:
    """Processes that log are killed at random moments; what their log() returned from is looked for."""
    counts = importlib.import_module("kill_trials").run_trials(TRIALS, folder, seed=int(time.time()))
    return {
        "kill9_trials": counts.trials,
        "kill9_lost": counts.lost,
        "kill9_duplicated": counts.duplicated,
        "kill9_false": counts.false,
    }


def ingest(folder: Path) -> dict[str, Any]:
    """From the journal into MLflow and the read index, and MLflow's own ``log_batch``."""
    return importlib.import_module("ingest_speed").ingest_speed(1_000_000, folder)


def search(folder: Path) -> dict[str, Any]:
    """First 100 of 100,000 runs sorted by a metric, and MLflow's own search of the same store."""
    return importlib.import_module("search_speed").search_speed(100_000, folder)


def digest(folder: Path) -> dict[str, Any]:
    """Digest of a table's whole content, and those of others."""
    return importlib.import_module("digest_speed").digest_gb_per_s()


if __name__ == "__main__":
    main()
