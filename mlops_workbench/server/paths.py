"""Paths of the control plane that JupyterLab may access."""

from __future__ import annotations

from urllib.parse import quote, unquote

from mlops_workbench.core.errors import InvalidInput, NotFound

#: First segments of the paths that are forwarded. Others, such as shutdown and events, are not accessible.
NOUNS = frozenset(
    {
        "alerts",
        "audit",
        "endpoints",
        "experiments",
        "models",
        "monitors",
        "notebook-runs",
        "pipeline-runs",
        "pipeline-schema",
        "pipelines",
        "retention",
        "runs",
        "schedules",
        "status",
        "sweeps",
    }
)


def control_path(raw: str) -> str:
    """Path of the control plane for a path below ``mlops-workbench/api/``.

    Parameters
    ----------
    raw : str
        Rest of the path as the browser sent it, percent-encoded.

    Returns
    -------
    str
        ``/api/...``, normalised: each segment decoded once, checked and encoded again.

    Raises
    ------
    InvalidInput
        A segment is empty, ``.`` or ``..`` (in any encoding), not UTF-8 or contains control characters.
    NotFound
        The first segment is not in NOUNS.
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
                "the path has an empty, relative or unprintable segment", where=raw, hint="remove this segment"
            )
        segments.append(plain)
    if segments[0] not in NOUNS:
        raise NotFound(f"unknown path: {segments[0]}", hint=f"known: {', '.join(sorted(NOUNS))}")
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)
