"""Aliases of model versions: their names, and what follows when MLflow's alias and ours differ (pure functions)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops_workbench.core.errors import InvalidInput

CHAMPION = "champion"
PREVIOUS = "previous"

_ALIAS = re.compile(r"[A-Za-z][\w-]{0,200}\Z")


@dataclass(frozen=True)
class Alias:
    """An alias of a model; a version of 0 stands for none.

    Attributes
    ----------
    version : int
        The version that has it.
    stored : int
        The version that had it in MLflow when the two were last compared. It differs from `version` until the change
        is written to MLflow.
    """

    version: int = 0
    stored: int = 0


def reconciled(known: Alias, stored: int) -> Alias:
    """The alias after a look at MLflow, where version `stored` has it.

    A change in MLflow that others made is taken over, unless a change of ours has not been written yet: ours stays.
    """
    if stored == known.stored or known.version != known.stored:
        return Alias(known.version, stored)
    return Alias(stored, stored)


def previous_of(alias: str) -> str:
    """Alias of the version that had `alias` before."""
    return PREVIOUS if alias == CHAMPION else f"{alias}-{PREVIOUS}"


def is_previous(alias: str) -> bool:
    """Whether an alias is that of a previous version."""
    return alias == PREVIOUS or alias.endswith(f"-{PREVIOUS}")


def check_alias(alias: str) -> None:
    """Raise `InvalidInput` unless a version can have this alias."""
    if is_previous(alias):
        of = alias.removesuffix(PREVIOUS).removesuffix("-") or CHAMPION
        raise InvalidInput(
            f"'{alias}' cannot be set: it is the version that had '{of}' before, to which a rollback returns",
            where="alias",
            hint=f"promote the version to '{of}'",
        )
    if not _ALIAS.match(alias) or alias == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidInput(
            f"'{alias}' cannot be an alias",
            where="alias",
            hint="use letters, digits, '_' and '-', for example champion",
        )
