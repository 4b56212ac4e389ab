"""Errors of a spec, collected so that all of them are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_workbench.core.errors import SpecError

#: Errors that one report shows.
_MOST = 20
_PLACE = re.compile(r":(\d+)(?::(\d+))?\Z")


class Problems:
    """Collects errors of a spec."""

    def __init__(self) -> None:
        self._errors: list[SpecError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, error: SpecError) -> None:
        """Add an error."""
        self._errors.append(error)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Add an error of the block, and go on after it."""
        try:
            yield
        except SpecError as error:
            self.add(error)

    def check(self) -> None:
        """Raise one error with all that were added, in the order of the file; no effect without any.

        Raises
        ------
        SpecError
            ``where`` is the place of the first one. The text of the whole shows each with its place and its hint.
        """
        if not self._errors:
            return
        errors = sorted(self._errors, key=_position)
        if len(errors) == 1:
            raise errors[0]
        shown = errors[:_MOST]
        text = "\n".join(str(error) for error in shown[:-1]) + "\n" + _without_hint(shown[-1])
        where = shown[0].where or ""
        hint = shown[-1].hint
        if len(errors) > _MOST:
            hint = f"{hint or ''}\n{len(errors) - _MOST} more errors".lstrip("\n")
        raise SpecError(text.removeprefix(f"{where}: "), where=where, hint=hint)


def _without_hint(error: SpecError) -> str:
    return f"{error.where}: {error.message}" if error.where else error.message


def _position(error: SpecError) -> tuple[int, int]:
    match = _PLACE.search(error.where or "")
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)
