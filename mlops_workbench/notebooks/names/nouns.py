"""Data classes of the names that a cell uses."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

#: Methods whose second call adds to the result of the first.
ACCUMULATING = frozenset(
    (
        "append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft",
        "step", "partial_fit", "train_on_batch",
    )
)  # fmt: skip


@dataclass(frozen=True)
class MethodCall:
    """A call of a method of a name's value, or of a part of it.

    Attributes
    ----------
    name : str
        The name: ``x`` in ``x.a[0].append(1)``.
    method : str
        The method.
    direct : bool
        Whether it is a method of the value itself, not of a part of it.
    discarded : bool
        Whether the cell discards the result.
    inplace : bool
        Whether it is called with ``inplace=True``.
    """

    name: str
    method: str
    direct: bool
    discarded: bool
    inplace: bool


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function by its name, with the names it gets by position (from 0) and by keyword."""

    function: str
    arguments: Mapping[int | str, str]


@dataclass(frozen=True)
class FunctionNames:
    """Parameters of a function that a cell defines, and the names that its body uses."""

    parameters: tuple[str, ...]
    names: CellNames


@dataclass
class CellNames:
    """Names of the notebook that a cell uses, found in its syntax tree.

    Attributes
    ----------
    reads : dict of str to int
        Names whose value the cell uses, each with the number of `straight` names bound before its first use.
    exposed : set of str
        Those of `reads` that may use the value from before the cell.
    writes : set of str
        Names that it binds or changes in place.
    updates : set of str
        Those of `writes` that it changes in place by assigning to an item or an attribute, or by ``+=``.
    deletes : set of str
        Names that it deletes and does not bind again.
    straight : list of str
        Names that it binds on every path, in order.
    slots : dict of str to set
        For each of `updates` the constant keys of the items and attributes that it assigns on every path; empty when
        it may change something else.
    repeats : set of str
        Names for which a second execution uses the result of the first: ``x += 1``, ``x = f(x)``.
    effects : list of str
        Effects outside of the namespace; see `effects.call_effects`.
    methods : list of MethodCall
        Calls that may change the value of a name, depending on its type.
    calls : list of FunctionCall
        Calls of functions by name, which may change their arguments.
    functions : dict of str to FunctionNames
        Functions that the cell defines.
    opaque : bool
        Whether it binds names that are not in the tree: a star import, ``exec``, ``%run``.
    """

    reads: dict[str, int] = field(default_factory=dict)
    exposed: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    updates: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    straight: list[str] = field(default_factory=list)
    slots: dict[str, set[object]] = field(default_factory=dict)
    repeats: set[str] = field(default_factory=set)
    effects: list[str] = field(default_factory=list)
    methods: list[MethodCall] = field(default_factory=list)
    calls: list[FunctionCall] = field(default_factory=list)
    functions: dict[str, FunctionNames] = field(default_factory=dict)
    opaque: bool = False

    @property
    def kills(self) -> set[str]:
        """Names that are bound on every path before their value is used."""
        return (set(self.straight) & self.writes) - self.exposed - self.deletes

    def use(self, name: str, used: Set[str]) -> None:
        """Add the names that the value of a name uses when it is called.

        Parameters
        ----------
        name : str
            One of `reads`: a function of the notebook, or an object that contains one.
        used : set of str
            Names that its code reads from the notebook.
        """
        before = set(self.straight[: self.reads.get(name, 0)])
        for other in used:
            self.reads.setdefault(other, self.reads.get(name, 0))
            if other not in before:
                self.exposed.add(other)
