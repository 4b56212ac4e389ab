"""State of the random number generators that have one for the whole process."""

from __future__ import annotations

import hashlib
import math
import sys
import time
from array import array
from collections.abc import Mapping
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import RandomState

#: Seconds in which nobody draws a number: from the end of what waits to the beginning of the cell that it waits for.
_JUST_NOW = 0.002


class Randomness:
    """Looks at the generators at the start of each cell, and tells when they are not where they were.

    Generators of libraries that are not imported have no state to speak of; nothing is imported here.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._digest = ""
        # States that were just asked for, and when: what one cell left is what the next one finds.
        self._left: tuple[float, dict[str, Any]] = (-math.inf, {})

    def look(self) -> tuple[str, RandomState | None]:
        """Digest of the state now, and the state itself when it differs from the last look."""
        at, current = self._left
        if time.monotonic() - at > _JUST_NOW:
            current = _states()
        self._left = (-math.inf, {})
        if self._digest and _same(current, self._known):
            return self._digest, None
        self._known = current
        states = {name: _PLAIN[name](state) for name, state in current.items()}
        self._digest = _digest(states)
        return self._digest, RandomState(self._digest, states)

    @property
    def digest(self) -> str:
        """Digest of the state at the last look."""
        return self._digest

    def moved(self) -> list[str]:
        """Libraries whose generator was there at the last look and has moved on since."""
        current = _states()
        self._left = (time.monotonic(), current)
        return [name for name, state in self._known.items() if name in current and not _equal(current[name], state)]


def restore(states: Mapping[str, Any]) -> list[str]:
    """Put the generators of this process into a recorded state.

    Parameters
    ----------
    states : mapping
        `RandomState.states`. Libraries among them that are not imported yet are imported.

    Returns
    -------
    list of str
        Names in `states` that this version does not know, and left alone.

    Raises
    ------
    InvalidInput
        A state is not of the form that its library takes.
    """
    unknown = []
    for name, state in states.items():
        put = _RESTORE.get(name)
        if put is None:
            unknown.append(name)
            continue
        try:
            put(state)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise InvalidInput(f"this is no state of {name}'s random numbers: {error}") from error
    return unknown


def _states() -> dict[str, Any]:
    """State of each library that is imported, as that library gives it."""
    found: dict[str, Any] = {}
    modules = sys.modules
    if (random := modules.get("random")) is not None:
        found["random"] = random.getstate()
    legacy = getattr(modules.get("numpy.random"), "get_state", None)
    # Another generator than NumPy's own, put in its place by the user, gives a form of its own.
    if legacy is not None and type(state := legacy()) is tuple:
        found["numpy"] = state
    torch = modules.get("torch")
    if (get := getattr(torch, "get_rng_state", None)) is not None:
        found["torch"] = bytes(get().numpy())
        cuda = getattr(torch, "cuda", None)
        if cuda is not None and cuda.is_initialized():
            found["torch.cuda"] = [bytes(state.numpy()) for state in cuda.get_rng_state_all()]
    return found


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(_equal(state, other[name]) for name, state in one.items())


def _equal(one: Any, other: Any) -> bool:
    if type(one) is tuple and len(one) == 5 and hasattr(one[1], "tobytes"):
        # NumPy's: the position first, which moves with every draw.
        return bool(one[2:] == other[2:] and one[1].tobytes() == other[1].tobytes() and one[0] == other[0])
    return bool(one == other)


def _digest(states: Mapping[str, Any]) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    for name in sorted(states):
        hashed.update(name.encode())
        _feed(hashed, states[name])
    return hashed.hexdigest()


def _feed(hashed: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            hashed.update(key.encode())
            _feed(hashed, item)
    elif isinstance(value, list):
        for item in value:
            _feed(hashed, item)
    else:
        hashed.update(value if isinstance(value, bytes) else repr(value).encode())


def _plain_random(state: Any) -> dict[str, Any]:
    version, words, gauss = state
    # The last word is the position.
    return {"version": version, "words": array("I", words).tobytes(), "gauss": gauss}


def _plain_numpy(state: Any) -> dict[str, Any]:
    name, words, position, has_gauss, gauss = state
    return {
        "generator": str(name),
        "words": words.astype("<u4").tobytes(),
        "position": int(position),
        "has_gauss": int(has_gauss),
        "gauss": float(gauss),
    }


def _put_random(state: Mapping[str, Any]) -> None:
    import random

    words = array("I")
    words.frombytes(state["words"])
    random.setstate((state["version"], tuple(words), state["gauss"]))


def _put_numpy(state: Mapping[str, Any]) -> None:
    import numpy

    words = numpy.frombuffer(state["words"], dtype="<u4")
    numpy.random.set_state((state["generator"], words, state["position"], state["has_gauss"], state["gauss"]))


def _put_torch(state: bytes) -> None:
    import torch

    torch.set_rng_state(_tensor(state))


def _put_cuda(states: list[bytes]) -> None:
    import torch

    torch.cuda.set_rng_state_all([_tensor(state) for state in states])


def _tensor(state: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(state), dtype=torch.uint8)


_PLAIN = {"random": _plain_random, "numpy": _plain_numpy, "torch": lambda state: state, "torch.cuda": list}
_RESTORE = {"random": _put_random, "numpy": _put_numpy, "torch": _put_torch, "torch.cuda": _put_cuda}
