"""What a display shows of a run at one moment, in a number of lines; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_workbench.commands.pipelines.runs import state_name
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.pipelines import PipelineRun, RunProgress, StageProgress, StageRun
from mlops_workbench.core.shown.formats import duration
from mlops_workbench.core.shown.plain_text import visible

#: Marks of the states of a run and its stages.
MARKS = {
    "succeeded": "✓",
    "failed": "✗",
    "running": "●",
    "pending": "○",
    "refused": "!",
    "not_published": "!",
    "cancelled": "–",
    "skipped": "–",
}
#: Ways to show fewer lines, from the most to the least that is shown: which stages are joined in a line each, and the
#: lines of output of a running stage.
_WAYS = (
    ((), 3),
    ((), 1),
    (("succeeded",), 3),
    (("succeeded",), 1),
    (("succeeded", "pending"), 3),
    (("succeeded", "pending", "skipped", "cancelled"), 1),
    (("succeeded", "pending", "skipped", "cancelled"), 0),
)
_JOINED = {
    "succeeded": "{} succeeded",
    "pending": "{} waiting",
    "skipped": "{} skipped",
    "cancelled": "{} cancelled",
}


@dataclass(frozen=True)
class Row:
    """A stage, or several that are joined.

    Attributes
    ----------
    state : str
        State of the stage; empty for the rest for which there is no room.
    cells : str
        ``4/9``; empty if no cell is counted.
    share : float or None
        Share of the cells of a running stage that are done.
    time : str
        Elapsed and usual time, or the state in words.
    message : str
        Attempt, or reason of the failure.
    output : sequence of str
        Last lines that it printed.
    """

    state: str
    name: str
    cells: str = ""
    share: float | None = None
    time: str = ""
    message: str = ""
    output: Sequence[str] = ()


@dataclass(frozen=True)
class Frame:
    """What is shown of a run.

    Attributes
    ----------
    title, state, words : str
        Name of the run, its state, and that in words.
    facts : sequence of str
        Elapsed time and estimate.
    message : str
        Error, or what is done beside the stages.
    """

    title: str
    state: str
    words: str
    facts: Sequence[str] = ()
    message: str = ""
    rows: Sequence[Row] = ()


def frame(progress: RunProgress, lines: int) -> Frame:
    """What to show of a run.

    Parameters
    ----------
    progress : RunProgress
        The run.
    lines : int
        Most lines of stages and output. Stages that have succeeded or that wait are joined before those that run or
        have failed.
    """
    run = progress.run
    elapsed = duration(((run.end_ms or progress.at_ms) - run.start_ms) / 1000)
    left = f"about {_about(progress.remaining_ms)} left" if progress.remaining_ms and run.active else ""
    return Frame(
        title=f"{run.kind} {_line(run.pipeline)}, run {short_id(run.id)}",
        state=run.state,
        words=state_name(run.state),
        facts=[fact for fact in (elapsed, left) if fact],
        message="" if run.message == run.state or _is_told(run) else _line(run.message),
        rows=_fitting(progress, max(1, lines)),
    )


def header(progress: RunProgress) -> Frame:
    """The run without its stages."""
    return replace(frame(progress, 1), rows=())


def _fitting(progress: RunProgress, lines: int) -> list[Row]:
    known = {stage.name: stage for stage in progress.stages}
    rows: list[Row] = []
    for joined, printed in _WAYS:
        rows = _rows(progress, known, joined, printed)
        if sum(1 + len(row.output) for row in rows) <= lines:
            return rows
    left = len(rows) - (lines - 1)
    return [*rows[: lines - 1], Row("", f"and {left} more")]


def _rows(progress: RunProgress, known: dict[str, StageProgress], joined: Sequence[str], printed: int) -> list[Row]:
    rows = []
    counts = dict.fromkeys(joined, 0)
    for stage in progress.run.stages:
        # Between two attempts, a stage that waits has a message.
        if stage.state in joined and not (stage.state == "pending" and stage.message):
            counts[stage.state] += 1
        else:
            rows.append(_row(stage, known.get(stage.name, StageProgress(stage.name)), progress.at_ms, printed))
    groups = [Row(state, _JOINED[state].format(_stages(count))) for state, count in counts.items() if count]
    return [*(row for row in groups if row.state == "succeeded"), *rows, *(r for r in groups if r.state != "succeeded")]


def _stages(count: int) -> str:
    return f"{count} stages" if count != 1 else "1 stage"


def _row(stage: StageRun, known: StageProgress, now: int, printed: int) -> Row:
    running = stage.state == "running"
    output = [_line(line) for line in known.output][-printed:] if running and printed else []
    counted = stage.cells_total and (stage.start_ms or stage.cells)
    return Row(
        state=stage.state,
        name=_line(stage.name),
        cells=f"{stage.cells}/{stage.cells_total}" if counted else "",
        share=min(1.0, stage.cells / stage.cells_total) if running and stage.cells_total else None,
        time=_time(stage, known, now),
        message=_line(stage.message),
        output=output,
    )


def _time(stage: StageRun, known: StageProgress, now: int) -> str:
    usual = _about(known.usual_ms) if known.usual_ms is not None else ""
    if stage.state == "pending":
        return f"waits, takes about {usual}" if usual else "waits"
    if stage.state == "running":
        elapsed = duration(max(0, now - stage.start_ms) / 1000) if stage.start_ms else "starts"
        return f"{elapsed} of about {usual}" if usual else elapsed
    took = duration((stage.end_ms - stage.start_ms) / 1000) if stage.end_ms and stage.start_ms else ""
    if stage.state == "succeeded":
        return took
    return f"{stage.state} after {took}" if took else stage.state


def _is_told(run: PipelineRun) -> bool:
    """Whether a stage has the message of the run."""
    return any(stage.message and stage.message in run.message for stage in run.stages)


def _about(milliseconds: int) -> str:
    """An estimate, in whole seconds."""
    return duration(max(1, round(milliseconds / 1000))).replace(".0 s", " s")


def _line(text: str) -> str:
    """A text of others in one line."""
    return " ".join(visible(text).split())
