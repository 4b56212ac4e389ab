"""The environment of a run, from its ``environment.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlops_workbench.commands.cells import Cell, counted
from mlops_workbench.commands.view import View

_COMMIT = 12


def environment_view(document: bytes) -> View:
    """Code, machine and imported packages; values in an unknown format are left out."""
    try:
        decoded = msgspec.json.decode(document)
    except msgspec.DecodeError:
        return View("environment")
    known: Mapping[str, Any] = decoded if isinstance(decoded, dict) else {}
    python, machine, git, packages = (_part(known, name) for name in ("python", "machine", "git", "packages"))
    facts: list[tuple[str, Cell]] = []
    if commit := git.get("commit"):
        state = ", with uncommitted changes" if git.get("dirty") else ""
        facts.append(("code", f"git {str(commit)[:_COMMIT]} on {git.get('branch') or 'no branch'}{state}"))
    if remote := git.get("remote"):
        facts.append(("repository", str(remote)))
    if python:
        facts.append(("python", f"{python.get('implementation', '')} {python.get('version', '')}".strip()))
    if machine:
        memory = machine.get("memory_bytes")
        words = [machine.get("platform"), machine.get("processor")]
        words += [counted(count, "processor")] if isinstance(count := machine.get("usable_processors"), int) else []
        words += [f"{memory / 2**30:.0f} GiB"] if isinstance(memory, int) and memory else []
        facts.append(("machine", ", ".join(str(word) for word in words if word)))
    if isinstance(gpus := machine.get("gpus"), list) and gpus:
        facts.append(("GPU", ", ".join(str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict))))
    versions = _part(packages, "installed")
    imported = packages.get("imported")
    if isinstance(imported, list) and imported:
        shown = [f"{name} {versions.get(name, '')}".strip() for name in imported]
        facts.append((f"imported ({len(shown)} of {len(versions)} packages)", ", ".join(shown)))
    return View("environment", facts=facts)


def _part(known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = known.get(name)
    return part if isinstance(part, dict) else {}
