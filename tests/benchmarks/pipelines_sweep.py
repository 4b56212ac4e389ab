"""A sweep of trivial trials against a bare loop that runs the same notebook in warm kernels, one after the other.

The loop has no runs, no records and no results: it starts a warm kernel, executes the cells, saves the notebook and
shuts the kernel down. It runs in a process of its own, whose imports are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nbformat
from pipelines_commands import command, workspace, write_notebook

#: Kernels before the loop, and seconds after them: the first one has the server of the others made.
_BEFORE, _PAUSE = 2, 5.0


def overhead(trials: int) -> dict[str, float]:
    """Seconds of either, and how many times as long the sweep takes."""
    with workspace() as root:
        write_notebook(root / "trivial.ipynb", ["number + 1"], "number = 0")
        command(root, "mlops", "up")
        command(root, "mlops", "run", "trivial.ipynb")
        _, printed = command(root, "python", str(Path(__file__).resolve()), "trivial.ipynb", str(trials))
        loop = float(printed.split()[-1])
        seconds, printed = command(root, "mlops", "sweep", "trivial.ipynb", "-p", f"number=1..{trials}", "--json")
        ended = json.loads(printed)
        states = [trial["state"] for trial in ended["trials"]]
        if states != ["succeeded"] * trials:
            raise RuntimeError(f"{states.count('succeeded')} of {trials} trials succeeded: {ended['run']['message']}")
    return {
        "sweep_overhead_ratio": round(seconds / loop, 2),
        "sweep_s": round(seconds, 2),
        "sweep_loop_s": round(loop, 2),
        "sweep_trials": trials,
    }


def loop(notebook: Path, trials: int) -> float:
    """Seconds for the notebook in as many warm kernels, one after the other."""
    from nbclient import NotebookClient

    from mlops_workbench.notebooks.document import read_notebook
    from mlops_workbench.notebooks.parameters.inject import inject
    from mlops_workbench.pipelines.kernels.manager import WarmKernelManager

    source = read_notebook(notebook)
    folder = notebook.parent / "loop"
    folder.mkdir()
    begun = 0.0
    for number in range(-_BEFORE, trials):
        if number == 0:
            time.sleep(_PAUSE)  # the server of the kernels is ready
            begun = time.perf_counter()
        copy = inject(source, {"number": number})
        client = NotebookClient(
            copy,
            kernel_manager_class=WarmKernelManager,
            kernel_name="python3",
            resources={"metadata": {"path": str(notebook.parent)}},
        )
        client.execute()
        nbformat.write(copy, folder / f"{number}.ipynb")
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(loop(Path(sys.argv[1]).resolve(), int(sys.argv[2])))
