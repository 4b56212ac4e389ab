"""Registered secrets in records and contents, which are replaced before these are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.core.records import Column, Record
from mlops_workbench.core.secrets.registered import (
    holds_registered,
    longest_registered,
    mask_registered,
    mask_registered_value,
)

#: Fields that identify something or have a fixed set of values: a short secret may occur in them by chance.
_KEPT = frozenset(
    (
        *("run_uid", "parent_uid", "uid", "session", "digest", "snapshot", "schema", "files", "cells", "run_uids"),
        *("random_state", "states", "status", "kind", "origin", "via", "flavor", "format", "covers", "model_id"),
        *("dataset_digest", "cell_id"),
    )
)
_CHUNK = 1 << 20
#: Largest file that is read to mask what it contains.
_MAX_TEXT = 256 << 20


def masked_record(record: Record) -> Record:
    """Return a record with the registered secrets masked."""
    found = {
        name: _masked(value)
        for name in record.__struct_fields__
        if name not in _KEPT and not isinstance(value := getattr(record, name), bool | int | float)
    }
    return msgspec.structs.replace(record, **found)


def masked_content(content: bytes | Path) -> bytes | Path | None:
    """Return the content of an artifact with the registered secrets masked.

    Returns
    -------
    bytes, Path or None
        The same content or file if it holds none; None if it holds one and is no text, so that it must not be kept.
    """
    if isinstance(content, bytes):
        return _masked_text(content) if holds_registered(content) else content
    if not _file_holds(content):
        return content
    return _masked_text(content.read_bytes()) if content.stat().st_size <= _MAX_TEXT else None


def _masked(value: Any) -> Any:
    if isinstance(value, Column):
        return msgspec.structs.replace(value, name=mask_registered(value.name))
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return mask_registered_value(value)


def _masked_text(content: bytes) -> bytes | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    if "\x00" in text:
        return None
    masked = mask_registered(text)
    if _parses(text) and not _parses(masked):
        # A number that is a secret.
        masked = json.dumps(mask_registered_value(json.loads(text)), ensure_ascii=False)
    return masked.encode()


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _file_holds(path: Path) -> bool:
    keep = longest_registered() - 1
    tail = b""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            if holds_registered(tail + chunk):
                return True
            tail = chunk[-keep:] if keep else b""
    return False
