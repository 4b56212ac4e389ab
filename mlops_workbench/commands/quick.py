"""Commands that only set something: they need no command parser, whose import takes longer than a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_workbench.commands.view import View

if TYPE_CHECKING:
    from mlops_workbench.commands.frontend import FrontEnd

_NOTES = {
    True: "every cell that fits a model is tracked as a run, named after the model; %%track NAME sets another name",
    False: "'%mlops autotrack on' tracks every cell that fits a model; %%track tracks one cell",
}


def set_at_once(words: Sequence[str], frontend: FrontEnd) -> View | None:
    """Run ``autotrack on`` and ``autotrack off``; return None for anything else."""
    if len(words) == 2 and words[0] == "autotrack" and words[1] in ("on", "off"):
        return autotrack_view(frontend.autotrack(words[1] == "on"))
    return None


def autotrack_view(on: bool) -> View:
    """Return whether cells are tracked automatically."""
    return View(f"autotrack is {'on' if on else 'off'}", notes=[_NOTES[on]], data={"autotrack": on})
