"""``mlops run NOTEBOOK`` against ``papermill NOTEBOOK OUTPUT``, in turns."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from pipelines_commands import check_complete, check_succeeded, command, workspace, write_notebook

_NOTEBOOK = "notebook.ipynb"


def compare(name: str, sources: Sequence[str], rounds: int, cold: int) -> dict[str, float]:
    """Medians of both in seconds, warm and cold, and their ratios."""
    ours, theirs, ours_cold, theirs_cold = [], [], [], []
    for _ in range(cold):
        with workspace() as root:
            write_notebook(root / _NOTEBOOK, sources)
            theirs_cold.append(_papermill(root, len(sources)))
            ours_cold.append(_ours(root, len(sources)))
    with workspace() as root:
        write_notebook(root / _NOTEBOOK, sources)
        command(root, "mlops", "up")
        _ours(root, len(sources))
        for _ in range(rounds):
            theirs.append(_papermill(root, len(sources)))
            ours.append(_ours(root, len(sources)))
    return {**_figures(name, ours, theirs), **(_figures(name, ours_cold, theirs_cold, "_cold") if cold else {})}


def _figures(name: str, ours: list[float], theirs: list[float], suffix: str = "") -> dict[str, float]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {
        f"ratio_{name}{suffix}": round(other / mine, 2),
        f"{name}{suffix}_s": round(mine, 3),
        f"{name}_papermill{suffix}_s": round(other, 3),
    }


def _papermill(root: Path, cells: int) -> float:
    output = root / "papermill.ipynb"
    output.unlink(missing_ok=True)
    seconds, _ = command(root, "papermill", _NOTEBOOK, output.name)
    check_complete(output, cells)
    return seconds


def _ours(root: Path, cells: int) -> float:
    seconds, printed = command(root, "mlops", "run", _NOTEBOOK, "--json")
    found = json.loads(printed)
    check_succeeded(found["run"])
    check_complete(Path(found["notebook"]), cells)
    return seconds
