"""Changes of a cell to the names of the notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.capture.provenance.mutations import mutations
from mlops_workbench.notebooks.names.nouns import CellNames, FunctionNames

#: Names of IPython.
_IPYTHONS = re.compile(r"_+|_i+|_i\d+|_\d+|_[iod]h|In|Out|exit|quit|get_ipython|open|__\w+__|__vsc_ipynb_file__")
#: Outputs, which are recorded when they are read, because they come from other cells.
_OUTPUT = re.compile(r"_+|_\d+")

#: Returns the names whose objects have another content than before, and those whose content is certainly the same.
Compare = Callable[[Iterable[str], Mapping[str, Any]], tuple[set[str], set[str]]]


@dataclass(frozen=True)
class NameChanges:
    """Names of the user that a cell read, bound, changed and deleted.

    Attributes
    ----------
    reads, writes, deletes, kills : set of str
        See `CellExecuted`.
    rebound : set of str
        Names that hold another object than before the cell, and new names.
    unsure, repeats : set of str
        See `Step`.
    slots : dict of str to set
        See `Step`.
    """

    reads: set[str]
    writes: set[str]
    deletes: set[str]
    kills: set[str]
    rebound: set[str]
    unsure: set[str]
    repeats: set[str]
    slots: dict[str, set[object]]


def changes_of(
    names: CellNames,
    before: Mapping[str, int],
    values: Mapping[str, Any],
    *,
    functions: Mapping[str, FunctionNames] | None = None,
    compare: Compare = lambda touched, values: (set(), set()),
    completed: bool = True,
    overlaps: bool = False,
) -> NameChanges:
    """Find the changes of a cell from its source and from the namespace before and after it.

    Parameters
    ----------
    names : CellNames
        Names in the source of the cell, including those that called functions use.
    before : mapping
        ``id`` of the value of each name before the cell.
    values : mapping
        The namespace after it.
    functions : mapping, optional
        Functions of the notebook.
    compare : callable, optional
        Compares the contents of objects; see `Contents.compare`.
    completed : bool, default=True
        Whether the cell ran to its end.
    overlaps : bool, default=False
        Whether another thread executed a cell at the same time: only names in the source are then attributed to this
        one.
    """
    rebound = {name for name, value in list(values.items()) if before.get(name) != id(value) and is_user_name(name)}
    deletes = {name for name in before.keys() - values.keys() if is_user_name(name)}
    if overlaps and not names.opaque:
        rebound, deletes = rebound & names.writes, deletes & names.deletes
    changed = mutations(names, values, functions or {})
    bound = rebound | (names.writes - names.updates)
    touched = filter(is_user_name, bound | names.updates | names.reads.keys())
    altered, unaltered = compare(touched, values)
    if not overlaps:
        changed.settle(altered - bound, unaltered - bound, names.updates)
    in_place = names.updates | changed.sure
    existing = {name for name in names.writes if name in values} | changed.sure | changed.maybe | rebound
    writes = {name for name in existing | _aliases(in_place, values) if is_user_name(name)}
    maybe = names.writes - in_place - names.kills if completed else writes
    return NameChanges(
        reads={
            name
            for name in names.reads
            if (name in values and _OUTPUT.fullmatch(name))
            or ((name in before or name in values) and is_user_name(name))
        },
        writes=writes,
        deletes=deletes,
        # If the cell failed, only names with another object were certainly bound.
        kills=names.kills & (writes if completed else rebound),
        rebound=rebound,
        unsure=((changed.maybe - names.writes) | maybe) - rebound - altered,
        repeats=(names.repeats & (in_place | rebound)) | changed.repeats,
        slots=_merged(names.slots, changed.slots),
    )


def is_user_name(name: object) -> bool:
    """Whether a name of the namespace belongs to the user, not to IPython."""
    return isinstance(name, str) and _IPYTHONS.fullmatch(name) is None


def _aliases(names: set[str], values: Mapping[str, Any]) -> set[str]:
    """Return all names of the objects of some names."""
    changed = {id(values[name]) for name in names if name in values}
    return {name for name, value in list(values.items()) if id(value) in changed} if changed else set()


def _merged(assigned: Mapping[str, set[object]], called: Mapping[str, set[object]]) -> dict[str, set[object]]:
    slots = {name: set(keys) for name, keys in assigned.items()}
    for name, keys in called.items():
        # An empty set means that anything may have changed.
        if name not in slots:
            slots[name] = keys
        elif slots[name]:
            slots[name] |= keys
    return slots
