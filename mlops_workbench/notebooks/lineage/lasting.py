"""Effects outside of the namespace that a later execution may depend on without using a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import PurePath

from mlops_workbench.core.records import CellExecuted
from mlops_workbench.notebooks.lineage.sources import DRAWN, RANDOM

_FILE, _COMMAND = "@file:", "@mlops:"
#: Effects on everything that runs later.
_ALWAYS = frozenset(("@environ", "@packages", "@path", "@modules", "@warnings", "@settings"))
_SHELL, _FOLDER = "@shell", "@cwd"
#: Commands that make files whose names they do not contain.
_MAKES_FILES = re.compile(r"\b(wget|curl|unzip|gunzip|tar|7z|git|dvc|kaggle|gsutil|aws|rclone|make|bash|sh|python3?)\b")
_TRACKED = re.compile(r"\s*%%track\b|\btrack\(")
_SHORTEST = 3


def is_lasting(execution: CellExecuted) -> bool:
    """Whether an execution has such an effect. Files are tracked by their path instead."""
    return any(
        effect in _ALWAYS or effect in (_SHELL, _FOLDER, RANDOM) or effect.startswith(_COMMAND)
        for effect in execution.effects
    )


def needed(lasting: Collection[CellExecuted], needing: Iterable[CellExecuted], last: CellExecuted) -> list[str]:
    """Return the uids of the executions with lasting effects that others need.

    Parameters
    ----------
    lasting : collection of CellExecuted
        Executions with lasting effects, in their order.
    needing : iterable of CellExecuted
        The executions that are to be repeated so far.
    last : CellExecuted
        The one for which they are repeated.

    Notes
    -----
    Random numbers that were drawn from a known library are linked to their seed, so only other seeds count. A command
    of the shell counts if it may have made a file that is read, a change of folder if any file is used. Of commands
    such as ``%mlops experiment`` the last one counts.
    """
    files = [effect[len(_FILE) :] for one in needing for effect in one.effects if effect.startswith(_FILE)]
    seeds: set[str] = set()
    commands: dict[str, str] = {}
    found = []
    for one in lasting:
        effects = set(one.effects)
        known_seed = any(effect.startswith(DRAWN) for effect in effects) or one.source in seeds
        if RANDOM in effects:
            seeds.add(one.source)
        commands.update({effect: one.uid for effect in effects if effect.startswith(_COMMAND)})
        if (
            not _ALWAYS.isdisjoint(effects)
            or (RANDOM in effects and not known_seed)
            or (_FOLDER in effects and files)
            or (_SHELL in effects and _may_make(one.source, files))
        ):
            found.append(one.uid)
    if _TRACKED.search(last.source):
        commands.pop(f"{_COMMAND}autotrack", None)
    return [*found, *commands.values()]


def _may_make(command: str, files: Collection[str]) -> bool:
    if not files:
        return False
    parts = {part for file in files for part in PurePath(file).parts if len(part) >= _SHORTEST}
    return any(part in command for part in parts) or _MAKES_FILES.search(command) is not None
