"""Run notebooks with and without capture; compare their outputs and run times.

``make bench NAME=notebooks ARGS="FOLDER_OR_NOTEBOOK..."``. Each notebook runs without and with capture in turns, each
time in a new kernel and a copy of its folder. Capture is enabled in the kernel's configuration, as in JupyterLab, with
autotrack.

An output counts as different if all executions without capture agree and the one with capture differs; outputs of the
workbench, which are marked in their metadata, do not count. The time of a cell ends with the start of the next one, so
it includes work after the reply; the start of the kernel counts too. Because of the noise of the machine, the shortest
time of each cell counts on either side. The processor time of the kernel includes parallel work on other cores.

One more execution with capture measures the share of the time in the hooks of capture and in its threads; see
`hook_seconds`. It is less sensitive to noise, but does not include the start and indirect effects of capture. The last
line of the output is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

#: Longest time of a cell in seconds.
CELL_SECONDS = 300
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}|<ipython-input-[^>]*>|/tmp/\S+")


@dataclass
class Execution:
    """One execution of a notebook."""

    cells: list[float] = field(default_factory=list)
    processor: float = 0.0
    outputs: list[list[Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    own: int = 0
    died: str = ""
    hooks: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Time of the start of the kernel and of all cells."""
        return sum(self.cells)

    def share(self, *parts: str) -> float:
        """Return the time of parts of capture as a share of the time without them."""
        seconds = sum(self.hooks[part] for part in parts)
        return seconds / (self.seconds - seconds)


def fastest(executions: list[Execution]) -> float:
    """Return the sum of the shortest times of each cell, in seconds."""
    # An execution that died has fewer cells, and is reported separately.
    return sum(map(min, zip(*(one.cells for one in executions), strict=False)))


def main() -> None:
    """Run the notebooks named in the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument(
        "--rounds", type=int, default=2, help="rounds of two executions per notebook, after the first execution"
    )
    parser.add_argument("--limit", type=float, default=600.0, help="leave out notebooks that take longer, in seconds")
    chosen = parser.parse_args()
    overheads: list[float] = []
    processor: list[float] = []
    hooks: list[float] = []
    hooks_and_threads: list[float] = []
    ran = different = broken = cards = 0
    seconds_without = seconds_with = 0.0
    for notebook in notebooks(chosen.paths):
        plain = [execute(notebook, capture=False)]
        if plain[0].died or not plain[0].cells or plain[0].seconds > chosen.limit:
            report(notebook, f"left out: {plain[0].died or 'too long or without code'}")
            continue
        captured = []
        for _ in range(chosen.rounds):
            captured.append(execute(notebook, capture=True))
            plain.append(execute(notebook, capture=False))
        measured = execute(notebook, capture=True, hooks=True)
        captured.append(measured)
        ran += 1
        faults = [difference for one in captured for difference in differences(plain, one)]
        dead = [one.died for one in captured if one.died]
        # The same number of executions on either side; more executions would have a lower shortest time.
        without, with_capture = fastest(plain[1:]), fastest(captured[:-1])
        overheads.append(with_capture / without - 1)
        processor.append(min(one.processor for one in captured[:-1]) / min(one.processor for one in plain[1:]) - 1)
        if measured.hooks:
            hooks.append(measured.share("main_thread"))
            hooks_and_threads.append(measured.share("main_thread", "threads"))
        seconds_without += without
        seconds_with += with_capture
        broken += bool(dead)
        different += bool(faults)
        cards += sum(one.own for one in captured)
        report(
            notebook,
            f"{without:.2f} s, with capture {with_capture:.2f} s ({overheads[-1]:+.1%},"
            f" processor {processor[-1]:+.1%}"
            + (f", hooks {hooks[-1]:.1%}, with threads {hooks_and_threads[-1]:.1%}" if measured.hooks else "")
            + f"), {captured[0].own} cards"
            + "".join(f"\n    {fault}" for fault in [*dead, *faults[:5]]),
        )
    figures = {
        "notebooks": ran,
        "different": different,
        "broken": broken,
        "cards": cards,
        "overhead_median": round(statistics.median(overheads), 4) if overheads else None,
        "overhead_total": round(seconds_with / seconds_without - 1, 4) if seconds_without else None,
        "processor_overhead_median": round(statistics.median(processor), 4) if processor else None,
        "hooks_median": round(statistics.median(hooks), 4) if hooks else None,
        "hooks_and_threads_median": round(statistics.median(hooks_and_threads), 4) if hooks else None,
        "seconds_without": round(seconds_without, 1),
    }
    print(json.dumps(figures))


def notebooks(paths: list[Path]) -> Iterator[Path]:
    """Yield the notebooks in the folders and the notebooks themselves."""
    for path in paths:
        found = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        yield from (one for one in found if ".ipynb_checkpoints" not in one.parts)


def report(notebook: Path, text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"{notebook.parent.name}/{notebook.name}: {text}\n")
    sys.stderr.flush()


def execute(path: Path, *, capture: bool, hooks: bool = False) -> Execution:
    """Run a notebook in a copy of its folder, also after cells that fail; `hooks`: measure the hooks of capture."""
    with tempfile.TemporaryDirectory(prefix="bench-notebook-") as scratch:
        folder = Path(scratch) / "work" / path.parent.name
        shutil.copytree(path.parent, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        # Notebooks may read data beside their folder.
        for beside in path.parent.parent.iterdir():
            if beside.is_dir() and beside.name != path.parent.name and not beside.name.startswith("."):
                (folder.parent / beside.name).symlink_to(beside)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")},
            "IPYTHONDIR": str(_profile(Path(scratch), capture, hooks)),
            "BENCH_HOOKS": str(Path(scratch) / "hooks.json"),
            "MLOPS_WORKSPACE": str(_workspace(Path(scratch))),
            "PYTHONHASHSEED": "0",
        }
        document = nbformat.read(path, as_version=4)
        client = NotebookClient(
            document,
            timeout=CELL_SECONDS,
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
        )
        found = Execution()
        starts = [time.perf_counter()]
        try:
            with client.setup_kernel(env=environment):
                pid = client.km.provisioner.pid
                for index, cell in enumerate(document.cells):
                    if cell.cell_type == "code" and cell.source.strip():
                        starts.append(time.perf_counter())
                        client.execute_cell(cell, index)
                # An empty cell, so that deferred work counts for the last cell.
                document.cells.append(nbformat.v4.new_code_cell("pass"))
                client.execute_cell(document.cells[-1], len(document.cells) - 1)
                starts.append(time.perf_counter())
                found.processor = _processor_seconds(pid)
        except (DeadKernelError, CellTimeoutError, RuntimeError, AssertionError) as error:
            found.died = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        found.cells = [after - before for before, after in itertools.pairwise(starts)]
        if hooks and (measured := Path(scratch) / "hooks.json").exists():
            found.hooks = json.loads(measured.read_text())
    for cell in document.cells:
        if cell.cell_type == "code":
            found.outputs.append(shown(cell.outputs, found))
    return found


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of its ended children, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _profile(scratch: Path, capture: bool, hooks: bool) -> Path:
    profile = scratch / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    lines = ["c = get_config()", "c.HistoryManager.enabled = False"]
    if capture:
        lines.append("c.InteractiveShellApp.extensions = ['mlops_workbench']")
    if hooks:
        # Adds no names to the namespace of the notebook.
        found = f"__import__('sys').path.append({str(Path(__file__).parent)!r})"
        lines.append(f"c.InteractiveShellApp.exec_lines = [{found!r}, \"__import__('hook_seconds')\"]")
    (profile / "ipython_kernel_config.py").write_text("\n".join(lines) + "\n")
    return profile.parent


def _workspace(scratch: Path) -> Path:
    folder = scratch / "workspace"
    folder.mkdir()
    (folder / "workbench.toml").write_text("[capture]\nautotrack = true\n")
    return folder


def shown(outputs: list[Any], execution: Execution) -> list[Any]:
    """Return the outputs of a cell for comparison; adjacent texts of a stream are joined."""
    found: list[Any] = []
    for output in outputs:
        kind = output["output_type"]
        if "mlops_workbench" in output.get("metadata", {}):
            execution.own += 1
        elif kind == "stream":
            text = _ADDRESS.sub("", output["text"])
            if found and found[-1][0] == "stream" and found[-1][1] == output["name"]:
                found[-1] = ("stream", output["name"], found[-1][2] + text)
            else:
                found.append(("stream", output["name"], text))
        elif kind == "error":
            found.append(("error", output["ename"], _ADDRESS.sub("", output["evalue"])))
        else:
            bundle = {kind: _ADDRESS.sub("", str(value)) for kind, value in sorted(output["data"].items())}
            found.append((kind, bundle))
    return found


def differences(plain: list[Execution], captured: Execution) -> list[str]:
    """Describe the cells whose outputs are the same in all executions without capture but differ with it."""
    return [
        f"code cell {number}: {_short(without[0])} became {_short(with_capture)}"
        for number, (with_capture, *without) in enumerate(
            zip(captured.outputs, *(one.outputs for one in plain), strict=False)
        )
        if all(outputs == without[0] for outputs in without) and with_capture != without[0]
    ]


def _short(outputs: list[Any]) -> str:
    text = repr(outputs)
    return text if len(text) < 400 else f"{text[:200]} ... {text[-200:]}"


if __name__ == "__main__":
    main()
