"""Which paths of the control plane JupyterLab may reach, and how they are spelled."""

from __future__ import annotations

from urllib.parse import quote, unquote

from mlops_workbench.core.errors import InvalidInput, NotFound

#: Nouns of the control plane that are passed on; everything else (its shutdown, its own event
#: stream) stays between it and its other clients.
NOUNS = frozenset(
    {"alerts", "endpoints", "experiments", "models", "monitors", "pipeline-runs", "pipelines", "runs", "status"}
)


def control_path(raw: str) -> str:
    """Path of the control plane for a path below ``mlops-workbench/api/``.

    Parameters
    ----------
    raw : str
        The rest of the path as the browser sent it, percent-encoded.

    Returns
    -------
    str
        ``/api/...``, normalised: each segment decoded once, checked and encoded again.

    Raises
    ------
    InvalidInput
        A segment is empty, ``.`` or ``..`` (however encoded), is not UTF-8 or has control characters.
    NotFound
        The noun is not among those that are passed on.
    """
    segments = []
    for segment in raw.split("/"):
        try:
            plain = unquote(segment, errors="strict")
        except UnicodeDecodeError as error:
            raise InvalidInput("the path is not UTF-8", where=raw) from error
        pieces = plain.replace("\\", "/").split("/")
        if any(piece in {"", ".", ".."} for piece in pieces) or not plain.isprintable():
            raise InvalidInput(
                "the path has an empty, relative or unprintable part", where=raw, hint="name the thing itself"
            )
        segments.append(plain)
    if segments[0] not in NOUNS:
        raise NotFound(f"no such thing in the workbench: {segments[0]}", hint=f"known: {', '.join(sorted(NOUNS))}")
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)
