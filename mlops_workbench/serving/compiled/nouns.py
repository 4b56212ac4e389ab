"""What programs are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Integers up to here are exact as floats.
_EXACT = 2**53


class NotCompiled(Exception):
    """The model has a part that no program is made of; the text names it."""


class Unusual(Exception):
    """Rows that a program does not answer; the estimator itself answers or refuses them."""


class Rows:
    """Rows on their way through a program: the inputs as they came, or one array of numbers.

    Parameters
    ----------
    columns : sequence of ndarray of shape (rows,)
        The inputs as the wire has them; empty if there is an array.
    block : ndarray of shape (rows, columns), optional
        Numbers.
    """

    __slots__ = ("block", "columns", "count")

    def __init__(self, columns: Sequence[Array], block: Array | None = None) -> None:
        self.columns = columns
        self.block = block
        self.count = len(block) if block is not None else len(columns[0])

    def numbers(self, places: Sequence[int] | None = None) -> Array:
        """The columns at `places`, or all, as one array of floats; it may be that of the request.

        Raises
        ------
        Unusual
            A column has other values than numbers, or integers that floats do not have.
        """
        if self.block is not None:
            block = self.block if places is None else self.block[:, places]
            return block if block.dtype.kind == "f" else _floats(block)
        chosen = self.columns if places is None else [self.columns[place] for place in places]
        kinds = {column.dtype for column in chosen}
        if any(kind.kind not in "fiub" for kind in kinds):
            raise Unusual
        dtype = next(iter(kinds)) if len(kinds) == 1 else np.result_type(*kinds)
        if len(chosen) == 1:
            block = chosen[0].reshape(-1, 1)
        else:
            # `numpy.array` of a list of short arrays is faster than a copy of each.
            block = np.array(chosen, dtype=dtype).T if self.count > 1 else np.concatenate(chosen, dtype=dtype)[None]
        return block if dtype.kind == "f" and len(kinds) == 1 else _floats(block, {kind.kind for kind in kinds})


def _floats(block: Array, kinds: set[str] | None = None) -> Array:
    if (kinds is None or kinds & {"i", "u"}) and block.size and float(np.abs(block).max()) > _EXACT:
        raise Unusual
    return block if block.dtype.kind == "f" else block.astype(np.float64)


class Program(Protocol):
    """Answers rows instead of an estimator.

    Attributes
    ----------
    kind : str
        What it is made of, for the metadata: ``compiled`` or ``onnx``.
    """

    kind: str

    def answers(self, rows: Rows, outputs: Sequence[str]) -> dict[str, Array]:
        """Answer rows.

        Raises
        ------
        Unusual
            The estimator itself must answer them.
        """


#: A transformer: from rows to an array of numbers of shape (rows, width).
Step = Callable[[Rows], Array]
#: A final estimator: from numbers to the answers of its methods.
Head = Callable[[Array, Sequence[str]], Mapping[str, Array]]
