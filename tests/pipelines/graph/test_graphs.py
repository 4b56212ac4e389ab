"""The graph of a pipeline shows each stage below what it needs, with its state."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PipelineStage, StageRun
from mlops_workbench.pipelines.graph.states import GraphStage, graph_stages
from mlops_workbench.pipelines.graph.svg import graph_svg
from mlops_workbench.pipelines.graph.text import graph_text

PIPELINE = Pipeline(
    "churn",
    "pipelines/churn.yaml",
    graph=[
        PipelineStage("prepare", "prepare.ipynb"),
        PipelineStage("train", "train.ipynb", ["prepare"], 3),
        PipelineStage("report", "report.ipynb", ["prepare"]),
        PipelineStage("evaluate", "evaluate.ipynb", ["prepare", "train"], gate=["auc > 0.8"]),
        PipelineStage("new", "new.ipynb"),
    ],
)
RUN = PipelineRun(
    "1", "churn", "failed", "manual", {}, "", 1,
    stages=[
        StageRun("prepare", "prepare.ipynb", "succeeded", "", 1000, 3500),
        StageRun("train@lr=0.1", "train.ipynb", "succeeded", "", 3500, 4000),
        StageRun("train@lr=0.2", "train.ipynb", "failed", "", 3500, 5000, message="ValueError:\n no"),
        StageRun("train@lr=0.3", "train.ipynb", "running", "", 3500),
        StageRun("report", "report.ipynb", "refused", "", 3500, 3600, message="auc 0.7 <= 0.8"),
        StageRun("evaluate", "evaluate.ipynb", "skipped"),
    ],
)  # fmt: skip


def test_text_shows_levels_arrows_states_and_reasons() -> None:
    assert graph_text(graph_stages(PIPELINE, RUN)).splitlines() == [
        "prepare                     ✓ succeeded  2.5 s",
        "├─▶ train                   ✗ failed  3 instances: 1 succeeded, 1 running, 1 failed; 1.5 s; ValueError: no",
        "│   └─▶ evaluate ◀ prepare  - skipped",
        "└─▶ report                  ! refused  100 ms; auc 0.7 <= 0.8",
        "new                         not in that run",
    ]


def test_before_the_first_run_it_says_that_nothing_ran() -> None:
    assert graph_text(graph_stages(PIPELINE, None)).splitlines()[:2] == [
        "prepare                     never ran",
        "├─▶ train                   3 instances; never ran",
    ]


def test_svg_is_well_formed_titled_and_takes_the_colours_of_the_page() -> None:
    text = graph_svg(graph_stages(PIPELINE, RUN), "pipeline <churn>")
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and str(root.get("aria-label")).startswith("pipeline <churn>: prepare")
    boxes = root.findall("{*}g")
    assert [str(box[2].text) for box in boxes] == ["prepare", "train", "report", "evaluate", "new"]
    assert "var(--jp-error-color1" in str(boxes[1][1].get("style")) and "script" not in text
    assert {word for word in ("currentColor", "var(--jp") if word in text} == {"currentColor", "var(--jp"}
    # Each box stands right of those it needs.
    lefts = {str(box[2].text): int(str(box[1].get("x"))) for box in boxes}
    assert lefts["prepare"] < lefts["train"] < lefts["evaluate"] and lefts["prepare"] == lefts["new"]


@st.composite
def graphs(draw: st.DrawFn) -> list[GraphStage]:
    found: list[GraphStage] = []
    for number in range(draw(st.integers(0, 12))):
        needs = draw(st.lists(st.sampled_from(found), unique=True, max_size=3)) if found else []
        level = max((need.level + 1 for need in needs), default=0)
        state = draw(st.sampled_from(["", "failed", "succeeded", "unheard"]))
        detail = draw(st.text(max_size=50))
        found.append(GraphStage(f"s{number}", "n.ipynb", tuple(need.name for need in needs), level, state, detail))
    return found


@given(graphs())
def test_every_stage_stands_once_in_any_graph(stages: list[GraphStage]) -> None:
    plain = [GraphStage(stage.name, stage.notebook, stage.needs, stage.level) for stage in stages]
    lines = graph_text(plain).splitlines()
    assert sorted(line.split(" ◀ ")[0].split()[-1] for line in lines) == sorted(stage.name for stage in stages)
    root = ElementTree.fromstring(graph_svg(stages, "t"))
    assert len(root.findall("{*}g")) == len(stages)
    assert len(root.findall("{*}path")) == 2 * sum(len(stage.needs) for stage in stages)


def test_a_long_chain_is_drawn() -> None:
    chain = [GraphStage(f"s{n}", "n.ipynb", (f"s{n - 1}",) if n else (), n) for n in range(1500)]
    assert len(graph_text(chain).splitlines()) == 1500
