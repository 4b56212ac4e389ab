"""Errors for users: what was wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from mlops_workbench.core.shown.plain_text import visible

#: What a parser raises for text that it cannot read: not in its language, or nested too deeply for it.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class WorkbenchError(Exception):
    """Base of every error the workbench raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong, in one sentence.
    where : str, optional
        Location: ``file:line``, a URL, a cell, a field.
    hint : str, optional
        How to fix it.

    Attributes
    ----------
    code : str
        Stable name for programs, also in HTTP responses.
    status : int
        HTTP status of the response of the control plane.
    """

    code = "error"
    status = 500

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return visible(f"{text}\n  hint: {self.hint}" if self.hint else text)

    def to_dict(self) -> dict[str, str | None]:
        """Return the body of the HTTP response: ``{code, message, where, hint}``."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}

    @staticmethod
    def from_dict(body: Mapping[str, object], status: int = 500) -> WorkbenchError:
        """Create the error from the body of an HTTP response; an unknown code gives the base class."""
        kind = _BY_CODE.get(str(body.get("code")), WorkbenchError)
        where, hint = body.get("where"), body.get("hint")
        error = kind(
            str(body.get("message") or f"the control plane answered {status}"),
            where=str(where) if where else None,
            hint=str(hint) if hint else None,
        )
        error.status = status
        return error


class InvalidInput(WorkbenchError):
    """An argument of the caller is not valid."""

    code = "invalid_input"
    status = 422


class SettingsError(InvalidInput):
    """A setting in ``workbench.toml``, a ``MLOPS_*`` variable or an argument is not valid."""

    code = "invalid_settings"


class SpecError(InvalidInput):
    """A pipeline spec is not valid; ``where`` is file and line."""

    code = "invalid_spec"


class NotFound(WorkbenchError):
    """The named object does not exist."""

    code = "not_found"
    status = 404


class Conflict(WorkbenchError):
    """The state of the object does not allow the operation."""

    code = "conflict"
    status = 409


class GateFailed(Conflict):
    """A gate failed: the version is registered, the alias was not moved."""

    code = "gate_failed"


class Quarantined(GateFailed):
    """A version that was rolled back must not come back unless someone asks for just that."""

    code = "quarantined"


class Unauthorized(WorkbenchError):
    """The token is missing or wrong."""

    code = "unauthorized"
    status = 401


class Unavailable(WorkbenchError):
    """A required service does not respond; a later attempt may succeed."""

    code = "unavailable"
    status = 503


class StorageError(WorkbenchError):
    """A folder or file cannot be read or written."""

    code = "storage"
    status = 507


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters; the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `name`, or None when none is similar."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the most similar known name, or with the list of known names."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return f"did you mean '{close}'?"
    if not names:
        return "none exist yet"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}"


def _subclasses(base: type[WorkbenchError]) -> Iterable[type[WorkbenchError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


_BY_CODE = {kind.code: kind for kind in _subclasses(WorkbenchError)}
