"""Errors a user can act on: what was wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Base of every error the workbench raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong, in one sentence.
    where : str, optional
        The place: ``file:line``, a URL, a cell, a field.
    hint : str, optional
        What to do about it.

    Attributes
    ----------
    code : str
        Stable machine-readable name, the same over HTTP.
    status : int
        HTTP status the control plane answers with.
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
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, str | None]:
        """Body of the HTTP answer: ``{code, message, where, hint}``."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}

    @staticmethod
    def from_dict(body: Mapping[str, object], status: int = 500) -> WorkbenchError:
        """Rebuild the typed error from an HTTP body; an unknown code gives the base class."""
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
    """A value that the caller gave is not usable."""

    code = "invalid_input"
    status = 422


class SettingsError(InvalidInput):
    """``workbench.toml``, a ``MLOPS_*`` variable or an argument is wrong."""

    code = "invalid_settings"


class SpecError(InvalidInput):
    """A pipeline spec is wrong; ``where`` names file and line."""

    code = "invalid_spec"


class NotFound(WorkbenchError):
    """The named thing does not exist."""

    code = "not_found"
    status = 404


class Conflict(WorkbenchError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409


class GateFailed(Conflict):
    """A gate said no; the version stays registered and the alias where it was."""

    code = "gate_failed"


class Unauthorized(WorkbenchError):
    """Missing or wrong token."""

    code = "unauthorized"
    status = 401


class Unavailable(WorkbenchError):
    """A service that is needed does not answer; trying again later can help."""

    code = "unavailable"
    status = 503


class StorageError(WorkbenchError):
    """A folder or file cannot be written or read."""

    code = "storage"
    status = 507


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None when none is close."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest known name, or lists what is known."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return f"did you mean '{close}'?"
    if not names:
        return "there is none yet"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}"


def _subclasses(base: type[WorkbenchError]) -> Iterable[type[WorkbenchError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


_BY_CODE = {kind.code: kind for kind in _subclasses(WorkbenchError)}
