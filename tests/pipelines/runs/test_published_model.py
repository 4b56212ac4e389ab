"""Which model a run publishes, and by which metrics its gates are judged."""

from __future__ import annotations

import pytest

from mlops_workbench.core.errors import Conflict
from mlops_workbench.pipelines.runs.publication import MeasuredGate, PublishRequest, publication
from mlops_workbench.pipelines.runs.requests import InputRequest, PublishTarget, RunRequest, StageRequest


def stage(name: str, inputs: dict[str, str] | None = None, **more: object) -> StageRequest:
    entries = {key: InputRequest("stage", source) for key, source in (inputs or {}).items()}
    base = name.partition("@")[0]
    return StageRequest(name=name, stage=base, notebook=f"{base}.ipynb", source="/x", inputs=entries, **more)  # type: ignore[arg-type]


TRAIN = tuple(stage(f"train@lr={lr}", matrix={"lr": lr}, gate=["auc > 0"]) for lr in (0.1, 0.2))
EVALUATE = stage("evaluate", {"clf": "train.model"}, metrics=["auc"], gate=["auc > 0.5"])


def published(
    stages: list[StageRequest], target: PublishTarget, chosen: dict[str, dict[str, str]] | None = None
) -> PublishRequest:
    request = RunRequest(id="r", pipeline="p", workspace="/", experiment="e", created_ms=1, stages=stages)
    return publication(request, target, {one.name: f"run of {one.name}" for one in stages}, chosen or {})


def target(stage: str, model: str = "", gate: list[str] | None = None, metrics_from: str = "") -> PublishTarget:
    return PublishTarget(stage, metrics_from or stage, "churn", "champion", gate or [], model=model)


def test_the_model_of_an_input_is_that_of_the_instance_which_was_chosen() -> None:
    found = published([*TRAIN, EVALUATE], target("evaluate", "clf"), {"evaluate": {"clf": "train@lr=0.2"}})
    assert (found.run_uid, found.model) == ("run of train@lr=0.2", "model")
    # Instances that were not chosen measured other models.
    assert found.metrics_run_uids == ["run of evaluate"]
    assert found.gates == [
        MeasuredGate(["auc > 0"], ["run of train@lr=0.1"], "train@lr=0.1"),
        MeasuredGate(["auc > 0"], ["run of train@lr=0.2"], "train@lr=0.2"),
        MeasuredGate(["auc > 0.5"], ["run of evaluate"], "evaluate", ["auc"]),
    ]


def test_the_model_is_followed_through_stages_that_pass_it_on() -> None:
    stages = [stage("train"), stage("tune", {"clf": "train.clf"}), stage("check", {"model": "tune.clf"})]
    assert published(stages, target("check", "model")).run_uid == "run of train"
    assert published(stages, target("tune", "clf")).run_uid == "run of train"
    assert published(stages, target("tune")).run_uid == "run of tune"
    assert published(stages, target("train", "clf")).run_uid == "run of train"


def test_metrics_of_all_stages_with_a_gate_are_kept_and_those_of_the_publishing_stage_go_first() -> None:
    stages = [
        stage("check", gate=["rows > 1"]),
        stage("train"),
        stage("evaluate", {"clf": "train.clf"}, gate=["a > 1"]),
    ]
    found = published(stages, target("evaluate", "clf"))
    assert found.metrics_run_uids == ["run of check", "run of evaluate"]


def test_the_gate_of_version_1_sees_the_metrics_of_both_stages() -> None:
    stages = [stage("train"), stage("evaluate", {"clf": "train.clf"})]
    found = published(stages, target("train", gate=["mae < 1"], metrics_from="evaluate"))
    assert found.gates == [MeasuredGate(["mae < 1"], ["run of train", "run of evaluate"])]
    assert (found.run_uid, found.metrics_run_uids) == ("run of train", ["run of evaluate"])


@pytest.mark.parametrize("of", [target("train"), target("evaluate", "clf")])
def test_a_model_of_several_instances_is_refused(of: PublishTarget) -> None:
    with pytest.raises(Conflict, match="stage 'train' has 2 instances"):
        published([*TRAIN, EVALUATE], of)
