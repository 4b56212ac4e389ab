"""Tags of a run's end in MLflow."""

from __future__ import annotations

from mlops_workbench.core.records import RunEnd
from mlops_workbench.core.tags import COMPLETE, ERROR
from mlops_workbench.tracking.journals.files import REAPER
from mlops_workbench.tracking.mapping.values import as_text


def end_tags_after(ended: str, end: RunEnd, session: str, tags: dict[str, str]) -> str:
    """Add the tags of an end to `tags`; return what has ended the run now: ``run`` or ``reaper``.

    `ended` is what had ended it before, empty for a running run. An end of its own precedes the reaper's.
    """
    reaped = session.startswith(REAPER)
    if reaped and ended == "run":
        return ended
    if ended:
        tags[ERROR] = ""
    tags.update(end_tags(end))
    return "reaper" if reaped else "run"


def end_tags(end: RunEnd) -> dict[str, str]:
    """Tags of an end, beside the status and time that MLflow has."""
    tags = {}
    if end.error:
        tags[ERROR] = as_text(end.error)
    if not end.complete:
        tags[COMPLETE] = "false"
    return tags
