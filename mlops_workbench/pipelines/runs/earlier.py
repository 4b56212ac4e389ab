"""Requests of runs that earlier versions of the workbench wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded(body: Any) -> Any:
    """The JSON of a request as the present version writes it; one of that form is returned unchanged.

    Version 0.1 had no matrix, and inputs, outputs and retries of a stage were text, text and a number.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("stages"), list):
        return body
    return {**body, "stages": [_stage(stage) if isinstance(stage, Mapping) else stage for stage in body["stages"]]}


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    found = {"stage": stage.get("name"), **stage}
    needs = stage.get("needs")
    if isinstance(inputs := stage.get("inputs"), Mapping) and isinstance(needs, list):
        found["inputs"] = {name: _input(entry, needs) for name, entry in inputs.items()}
    if isinstance(outputs := stage.get("outputs"), Mapping):
        found["outputs"] = {name: {"path": path} if isinstance(path, str) else path for name, path in outputs.items()}
    if isinstance(retries := stage.get("retries"), int):
        found["retries"] = {"max": retries}
    return found


def _input(entry: Any, needs: list[str]) -> Any:
    if not isinstance(entry, str):
        return entry
    kind = "stage" if entry.partition(".")[0] in needs else "url" if "://" in entry else "file"
    return {"kind": kind, "source": entry}
