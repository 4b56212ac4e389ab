"""Why a result does not hold any more; pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_workbench.pipelines.cache.entries import StageKey, StageReads


def key_changes(before: StageKey, now: StageKey) -> list[str]:
    """Return what differs between two keys, one line each."""
    found = []
    if before.code != now.code:
        cells = [
            number for number, pair in enumerate(zip(before.code, now.code, strict=False), 1) if pair[0] != pair[1]
        ]
        if len(before.code) != len(now.code):
            found.append(f"the notebook has {len(now.code)} code cells instead of {len(before.code)}")
        else:
            found.append(f"code cell {', '.join(map(str, cells))} has changed")
    found += [f"parameter '{name}': {change}" for name, change in _changes(before.params, now.params)]
    found += [f"secret '{name}': {change}" for name, change in _changes(before.secrets, now.secrets)]
    found += [
        f"input '{name}' has {_word(before.inputs, now.inputs, name)}" for name in _differing(before.inputs, now.inputs)
    ]
    found += [
        f"output '{name}' has {_word(before.outputs, now.outputs, name)}"
        for name in _differing(before.outputs, now.outputs)
    ]
    found += [
        f"the environment variable {name} has {_word(before.environment, now.environment, name)}"
        for name in _differing(before.environment, now.environment)
    ]
    if before.python != now.python:
        found.append(f"Python {now.python} instead of {before.python}")
    if before.kernel != now.kernel:
        found.append(f"kernel '{now.kernel}' instead of '{before.kernel}'")
    return found


def reads_changes(before: StageReads, now: StageReads) -> list[str]:
    """Return what differs between what a run read and what is there now, one line each."""
    found = [
        f"{shown_path(name)} has {_word(before.files, now.files, name)}" for name in _differing(before.files, now.files)
    ]
    found += [
        f"the module {shown_path(name)} has {_word(before.modules, now.modules, name)}"
        for name in _differing(before.modules, now.modules)
    ]
    found += [f"the folder {shown_path(name)} has other files" for name in _differing(before.folders, now.folders)]
    return found + [f"package {name}: {change}" for name, change in _changes(before.distributions, now.distributions)]


def shown_path(name: str) -> str:
    """Return a path in `StageReads` without the word for the folder that it is relative to."""
    return name.removeprefix("workspace:").removeprefix("notebook:") or "of the notebook"


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _word(before: Mapping[str, object], now: Mapping[str, object], name: str) -> str:
    if not before.get(name):
        return "been added"
    return "changed" if now.get(name) else "gone"


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, f"{before.get(name) or 'none'} -> {now.get(name) or 'none'}") for name in _differing(before, now)]
