"""Inputs of answers as the log keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_workbench.serving.log.protection import Protection, without_secrets
from mlops_workbench.serving.rows.signature import ColumnType, Signature
from mlops_workbench.serving.rows.values import Array


class LoggedInputs:
    """The inputs of a model of which something is logged, for values of certain types.

    Parameters
    ----------
    signature : Signature
        Inputs of the model.
    kinds : sequence of dtype
        Types of their arrays; a single one if they are one array of shape (rows, columns).
    is_matrix : bool
        Whether they are one array.
    protection : Protection
        What becomes of them.

    Attributes
    ----------
    columns, dtypes, is_matrix, hashed
        As in :class:`Context`.
    """

    def __init__(
        self, signature: Signature, kinds: Sequence[np.dtype[Any]], is_matrix: bool, protection: Protection
    ) -> None:
        names = [column.name for column in signature.columns]
        each = list(kinds) * len(names) if is_matrix else list(kinds)
        self._actions = [protection.action(name, kind) for name, kind in zip(names, each, strict=True)]
        self._is_split = is_matrix and set(self._actions) != {"keep"}
        self._protection = protection
        self._names = names
        self.is_matrix = is_matrix and not self._is_split
        self.hashed = tuple(name for name, action in zip(names, self._actions, strict=True) if action == "hash")
        columns: list[tuple[str, ColumnType]] = []
        dtypes: list[str] = []
        for column, kind, action in zip(signature.columns, each, self._actions, strict=True):
            if action != "drop":
                columns.append((column.name, column.type if action == "keep" else "string"))
                dtypes.append(stored_type(kind) if action == "keep" else "O")
        self.columns = tuple(columns)
        self.dtypes = (stored_type(kinds[0]),) if self.is_matrix else tuple(dtypes)
        self._is_plain = set(self._actions) <= {"keep"}
        self._listed = [kind == "O" for kind in self.dtypes]
        # Whether texts are secrets only their values tell. Objects of other types are booleans that may be missing.
        self._texts = [
            (place, name)
            for place, (name, kind) in enumerate(columns)
            if kind == "string" and name not in self.hashed and dtypes[place] == "O"
        ]

    def stored(self, inputs: list[Array]) -> list[Any]:
        """The inputs as they are kept: without values that must not be in clear."""
        kept = stored(inputs, self._listed) if self._is_plain else self._without_protected(inputs)
        for place, name in self._texts:
            kept[place] = without_secrets(name, kept[place])
        return kept

    def _without_protected(self, inputs: list[Array]) -> list[Any]:
        columns = list(inputs[0].T) if self._is_split else inputs
        kept: list[Any] = []
        for name, values, action in zip(self._names, columns, self._actions, strict=True):
            if action == "hash":
                kept.append(self._protection.hashes(name, values))
            elif action == "keep":
                kept += stored([values], [self._listed[len(kept)]])
        return kept


def stored_type(kind: np.dtype[Any]) -> str:
    """Type of an array in the journal; of ``O``, the values are a list."""
    return "O" if kind.kind in "OSU" else kind.str


def stored(arrays: list[Array], listed: list[bool]) -> list[Any]:
    """Arrays as bytes, or as lists."""
    return [array.tolist() if is_listed else array.tobytes() for array, is_listed in zip(arrays, listed, strict=True)]
