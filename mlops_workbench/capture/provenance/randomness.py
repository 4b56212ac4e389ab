"""State of the global random number generators of libraries."""

from __future__ import annotations

import hashlib
import math
import time
from array import array
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.kernel.cell_start import generator_states
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import RandomState

#: Longest time between the deferred work of a cell and the next cell in which no number is drawn.
_FRESH_SECONDS = 0.002


class Randomness:
    """Reads the state of the generators at the start of each cell; libraries that are not imported have none."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._digest = ""
        # Time and states of the last `changed_libraries`, which the next `read` uses again.
        self._recent: tuple[float, dict[str, Any]] = (-math.inf, {})

    def read(self, states: dict[str, Any] | None = None) -> tuple[str, RandomState | None]:
        """Return the digest of the current or given state, and the state itself when it differs from the last one."""
        at, current = self._recent
        if states is not None:
            current = states
        elif time.monotonic() - at > _FRESH_SECONDS:
            current = generator_states()
        self._recent = (-math.inf, {})
        if self._digest and _same(current, self._known):
            return self._digest, None
        self._known = current
        states = {name: _PLAIN[name](state) for name, state in current.items()}
        self._digest = _digest(states)
        return self._digest, RandomState(self._digest, states)

    @property
    def digest(self) -> str:
        """Digest of the state at the last `read`."""
        return self._digest

    def changed_libraries(self, *, seeded: bool = False) -> list[str]:
        """Return the libraries whose generator changed since the last `read`, and if `seeded` those imported since."""
        current = generator_states()
        self._recent = (time.monotonic(), current)
        known = self._known
        return [n for n, state in current.items() if (not _equal(state, known[n]) if n in known else seeded)]


def restore(states: Mapping[str, Any]) -> list[str]:
    """Restore a recorded state of the generators of this process.

    Parameters
    ----------
    states : mapping
        `RandomState.states`. Its libraries are imported.

    Returns
    -------
    list of str
        Names in `states` that this version does not support.

    Raises
    ------
    InvalidInput
        A library rejects its state.
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
            raise InvalidInput(f"the recorded random state of {name} is invalid: {error}") from error
    return unknown


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(_equal(state, other[name]) for name, state in one.items())


def _equal(one: Any, other: Any) -> bool:
    if type(one) is tuple and len(one) == 5 and hasattr(one[1], "tobytes"):
        # NumPy: compare the position first, which changes with every draw.
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
    # The last word is the position in the state.
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
