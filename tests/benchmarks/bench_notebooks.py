"""Notebooks of other people, run with and without capture: same outputs, and what it costs.

``make bench NAME=notebooks ARGS="FOLDER_OR_NOTEBOOK..."``. Each notebook runs in turns without capture, with
it, and without it again, each time in a fresh kernel and in a copy of its folder. Capture is switched on as
JupyterLab does it, by the kernel's configuration; every cell that fits a model becomes a run (autotrack).

An output counts as different only where all executions without capture agree with each other, and when
it is not the workbench's own (those are marked in their metadata). The time of a cell runs from its start to the
start of the next one, so that work after the reply counts, and so does the start of the kernel. The machine's noise
hits some cells of some executions: of each cell the shortest time on either side is taken. The processor time of the
kernel is told beside it: it counts work that another core did at the same time.

After these, one more execution with capture tells the share of its time that was spent in capture's hooks, and with
that of its threads; see `hook_seconds`. It knows nothing of what capture slows down elsewhere, nor of its start, and
does not differ with the machine's noise as the others do. The last line is JSON.
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

#: Seconds that one cell may take.
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
        """Time of the kernel's start and all cells."""
        return sum(self.cells)

    def share(self, *parts: str) -> float:
        """What parts of capture took, as a share of the time without them."""
        taken = sum(self.hooks[part] for part in parts)
        return taken / (self.seconds - taken)


def fastest(executions: list[Execution]) -> float:
    """Seconds of a notebook, of each cell the shortest."""
    # An execution that died has fewer cells; it is told of elsewhere.
    return sum(map(min, zip(*(one.cells for one in executions), strict=False)))


def main() -> None:
    """Run what was named and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=2, help="rounds of two executions a notebook, after a first one")
    parser.add_argument("--limit", type=float, default=600.0, help="leave out notebooks that take more seconds")
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
            tell(notebook, f"left out: {plain[0].died or 'too long or without code'}")
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
        # As many executions on either side, or the side with more would have the better of the noise.
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
        tell(
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
    """Notebooks in the folders, and those named."""
    for path in paths:
        found = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        yield from (one for one in found if ".ipynb_checkpoints" not in one.parts)


def tell(notebook: Path, text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{notebook.parent.name}/{notebook.name}: {text}\n")
    sys.stderr.flush()


def execute(path: Path, *, capture: bool, hooks: bool = False) -> Execution:
    """Run a notebook in a copy of its folder; cells that fail do not end it. `hooks`: time those of capture."""
    with tempfile.TemporaryDirectory(prefix="bench-notebook-") as scratch:
        folder = Path(scratch) / "work" / path.parent.name
        shutil.copytree(path.parent, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        # Notebooks reach for data beside their own folder.
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
                # What is put off until after the reply, or until the next cell, is part of the last one.
                document.cells.append(nbformat.v4.new_code_cell("pass"))
                client.execute_cell(document.cells[-1], len(document.cells) - 1)
                starts.append(time.perf_counter())
                found.processor = _processor_seconds(pid)
        except (DeadKernelError, CellTimeoutError, RuntimeError, AssertionError) as error:
            found.died = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        found.cells = [after - before for before, after in itertools.pairwise(starts)]
        if hooks and (told := Path(scratch) / "hooks.json").exists():
            found.hooks = json.loads(told.read_text())
    for cell in document.cells:
        if cell.cell_type == "code":
            found.outputs.append(shown(cell.outputs, found))
    return found


def _processor_seconds(pid: int) -> float:
    """Processor time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _profile(scratch: Path, capture: bool, hooks: bool) -> Path:
    profile = scratch / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    lines = ["c = get_config()", "c.HistoryManager.enabled = False"]
    if capture:
        lines.append("c.InteractiveShellApp.extensions = ['mlops_workbench']")
    if hooks:
        # No names are left where the notebook's own will be.
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
    """What a cell shows, in a form that can be compared; adjacent texts of a stream are one."""
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
    """Cells whose outputs are the same in all executions without capture, and other ones with it."""
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
