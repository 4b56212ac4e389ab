"""What a run's end says of it in MLflow's tags."""

from __future__ import annotations

from mlops_workbench.core.records import RunEnd
from mlops_workbench.core.tags import COMPLETE, ERROR
from mlops_workbench.tracking.journals.files import REAPER
from mlops_workbench.tracking.mapping.values import as_text


def end_tags_after(ended: str, end: RunEnd, session: str, tags: dict[str, str]) -> str:
    """Add the tags of an end to those of a run that had `ended`, and return who has ended it now."""
    reaped = session.startswith(REAPER)
    if reaped and ended == "run":
        return ended
    if ended:
        tags[ERROR] = ""
    tags.update(end_tags(end))
    return "reaper" if reaped else "run"


def end_tags(end: RunEnd) -> dict[str, str]:
    """What MLflow is told of an end beside status and time."""
    tags = {}
    if end.error:
        tags[ERROR] = as_text(end.error)
    if not end.complete:
        tags[COMPLETE] = "false"
    return tags
