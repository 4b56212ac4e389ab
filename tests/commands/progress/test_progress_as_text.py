"""A run that goes on, as text: what is shown at which width and height."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mlops_workbench.commands.progress.frame import frame
from mlops_workbench.commands.progress.text import HEADER, plain
from mlops_workbench.core.pipelines import PipelineRun, RunProgress, StageProgress, StageRun, StageState
from mlops_workbench.core.shown.plain_text import visible

STATES: list[StageState] = ["pending", "running", "succeeded", "failed", "cancelled", "skipped", "refused"]
START = 1_000_000


def stage(name: str, state: StageState, cells: int = 0, took: int = 0, message: str = "", since: int = 0) -> StageRun:
    start = START + since if state not in ("pending", "skipped") else 0
    return StageRun(name, f"{name}.ipynb", state, "", start, start + took if took else 0, cells, 9, message)


def of(*stages: StageRun, state: str = "running", message: str = "", left: int | None = None) -> RunProgress:
    run = PipelineRun(
        "00000000000000000000000000abcdef", "flights", state, "manual", {}, "", START, stages=list(stages),  # type: ignore[arg-type]
        message=message,
    )  # fmt: skip
    known = [
        StageProgress(one.name, 70_000 if one.name != "new" else None, ["epoch 3: loss 0.12", "epoch 4: loss 0.11"])
        for one in stages
    ]
    return RunProgress(run, START + 83_000, known, left)


RUNNING = of(
    stage("prepare", "succeeded", 9, 12_000),
    stage("train@lr=0.1", "running", 4, message="attempt 2", since=20_000),
    stage("new", "running", since=82_400),
    stage("evaluate", "pending"),
    left=41_000,
)
AT_160 = """\
pipeline flights, run 89abcdef · running · 1 min 23 s · about 41 s left
✓ prepare       9/9                12 s
● train@lr=0.1  4/9  ━━━━━───────  1 min 3 s of about 1 min 10 s · attempt 2
    epoch 3: loss 0.12
    epoch 4: loss 0.11
● new           0/9  ────────────  600 ms
    epoch 3: loss 0.12
    epoch 4: loss 0.11
○ evaluate                         waits, takes about 1 min 10 s"""
AT_40 = """\
pipeline flights, run 89abcdef
running · 1 min 23 s · about 41 s left
✓ prepare       9/9  12 s
● train@lr=0.1  4/9  1 min 3 s of about…
    epoch 3: loss 0.12
    epoch 4: loss 0.11
● new           0/9  600 ms
    epoch 3: loss 0.12
    epoch 4: loss 0.11
○ evaluate           waits, takes about…"""


@pytest.mark.parametrize(("width", "expected"), [(160, AT_160), (80, AT_160), (40, AT_40)])
def test_a_running_pipeline(width: int, expected: str) -> None:
    assert plain(frame(RUNNING, 20), width) == expected.replace("89abcdef", RUNNING.run.id[-8:])


def test_the_reason_of_an_end_is_told_once_and_that_of_the_run_if_no_stage_has_it() -> None:
    failed = of(
        stage("train", "failed", 4, 2000, "train.ipynb, cell 3: ZeroDivisionError: division by zero"),
        stage("evaluate", "skipped", message="stage 'train' did not succeed"),
        state="failed",
        message="stage 'train' failed: train.ipynb, cell 3: ZeroDivisionError: division by zero",
    )
    text = plain(frame(failed, 20), 120)
    assert text.count("division by zero") == 1
    assert "✗ train     4/9  failed after 2.0 s · train.ipynb, cell 3: ZeroDivisionError: division by zero" in text
    assert "– evaluate       skipped · stage 'train' did not succeed" in text
    died = of(stage("train", "running", 4), state="failed", message="runner process died")
    assert plain(frame(died, 20), 120).splitlines()[1] == "runner process died"


def test_forty_stages_fit_a_small_terminal_and_those_that_run_or_failed_are_seen() -> None:
    stages = [stage(f"s{number}", "succeeded", 9, 1000) for number in range(20)]
    stages += [stage("runs", "running", 3), stage("broke", "failed", 3, 500, "cell 3: KeyError: 'x'")]
    stages += [stage("again", "pending", message="attempt 1 failed: killed; the next begins soon")]
    stages += [stage(f"w{number}", "pending") for number in range(17)]
    assert plain(frame(of(*stages), 8), 80).splitlines()[1:] == [
        "✓ 20 stages succeeded",
        "● runs   3/9  ━━━━────────  1 min 23 s of about 1 min 10 s",
        "    epoch 3: loss 0.12",
        "    epoch 4: loss 0.11",
        "✗ broke  3/9                failed after 500 ms · cell 3: KeyError: 'x'",
        "○ again                     waits, takes about 1 min 10 s · attempt 1 failed: k…",
        "○ 17 stages waiting",
    ]
    shown = plain(frame(of(*[stage(f"s{number}", "running") for number in range(40)]), 8), 80)
    assert shown.splitlines()[-1] == "  and 33 more"


NAMES = st.text(st.sampled_from("ab@=.ü日本🎉é\u200d\u202e\x1b[2J\x9b\r\n\t\x00"), min_size=1, max_size=60)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(STATES), NAMES), max_size=45), NAMES, st.integers(20, 170),
    st.integers(1, 60),
)  # fmt: skip
def test_it_fits_and_controls_no_terminal(
    parts: list[tuple[str, StageState, str]], message: str, width: int, height: int
) -> None:
    stages = [stage(name, state, 3, 100, text) for name, state, text in parts]
    found = of(*stages, message=message)
    known = [StageProgress(one.name, 10, [message, "b"]) for one in stages]
    text = plain(frame(RunProgress(found.run, found.at_ms, known), height), width)
    assert len(text.split("\n")) <= height + HEADER
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert visible(text) == text
