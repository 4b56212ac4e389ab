"""What a cell does with names."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

#: Method names of containers by which a second execution of a cell adds to the result of the first.
ACCUMULATING = frozenset(
    (
        "append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft",
        "step", "partial_fit", "train_on_batch",
    )
)  # fmt: skip


@dataclass(frozen=True)
class MethodCall:
    """A method called on what a name holds, or on a part of it.

    Attributes
    ----------
    name : str
        The name: ``x`` in ``x.a[0].append(1)``.
    method : str
        The method.
    direct : bool
        Whether it is a method of the value itself, not of a part of it.
    discarded : bool
        Whether the cell makes nothing of the result, and so calls it for what it does.
    inplace : bool
        Whether it is called with ``inplace=True`` or an ``out=``.
    """

    name: str
    method: str
    direct: bool
    discarded: bool
    inplace: bool


@dataclass(frozen=True)
class FunctionCall:
    """A function called by its name, with names as arguments: by position (from 0) and by keyword."""

    function: str
    arguments: Mapping[int | str, str]


@dataclass(frozen=True)
class FunctionNames:
    """What a function that a cell defines does with its arguments."""

    parameters: tuple[str, ...]
    names: CellNames


@dataclass
class CellNames:
    """What a cell does with names of the notebook, as far as its syntax tree tells.

    Attributes
    ----------
    reads : dict of str to int
        Names whose value the cell uses, each with how many of `straight` were bound before its first use.
    exposed : set of str
        Those of `reads` that may see the value from before the cell.
    writes : set of str
        Names that it binds or changes in place.
    updates : set of str
        Those of `writes` that it changes in place by assigning to an item or an attribute, or by ``+=``.
    deletes : set of str
        Names that it deletes and does not bind again.
    straight : list of str
        Names that it binds whatever path is taken, in order.
    slots : dict of str to set
        For each of `updates` the items and attributes, by their constant keys, that it assigns whatever path is
        taken; empty when it may change something else.
    repeats : set of str
        Names for which a second execution builds on the result of the first: ``x += 1``, ``x = f(x)``.
    effects : list of str
        What lies outside of the namespace; see `effects.call_effects`.
    methods : list of MethodCall
        Calls that may change what a name holds; only its type tells.
    calls : list of FunctionCall
        Calls of functions by name, which may change their arguments.
    functions : dict of str to FunctionNames
        Functions that the cell defines.
    opaque : bool
        Whether it binds names that the tree does not show: a star import, ``exec``, ``%run``.
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
        """Names that are bound, whatever path is taken, before their value is used."""
        return (set(self.straight) & self.writes) - self.exposed - self.deletes

    def use(self, name: str, used: Set[str]) -> None:
        """Note that calling what `name` holds uses further names.

        Parameters
        ----------
        name : str
            One of `reads`: a function of the notebook, or an object that holds one.
        used : set of str
            Names that its code takes from the notebook.
        """
        before = set(self.straight[: self.reads.get(name, 0)])
        for other in used:
            self.reads.setdefault(other, self.reads.get(name, 0))
            if other not in before:
                self.exposed.add(other)
