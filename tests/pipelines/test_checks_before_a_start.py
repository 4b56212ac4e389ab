"""What is checked before a run starts, and what a dry run says."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebook_files import write

from mlops_workbench.core.errors import InvalidInput, NotFound, SpecError, WorkbenchError
from mlops_workbench.core.pipelines import PlannedStage
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.parameters.text import Text
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.execution.notebook_run import NotebookOptions

SPEC = """\
version: 2
params:
  lr: {type: float, default: 0.1}
  token: {secret: THE_TOKEN}
stages:
  prepare:
    notebook: prepare.ipynb
    params: [token]
    inputs: {raw: "*.csv", orders: {sql: "SELECT 1", connection: "secret:THE_DATABASE"}}
    outputs: {rows: rows.parquet}
  train:
    notebook: train.ipynb
    params: [lr, {seed: 7}]
    inputs: {rows: prepare.rows}
    outputs: {clf: clf.skops}
    metrics: [auc]
    matrix: {lr: [0.1, 0.2]}
  pick:
    notebook: pick.ipynb
    inputs: {clf: "train.clf[max auc]", every: train.clf}
"""


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    folder = workspace.pipeline_specs
    write(folder / "prepare.ipynb", "print(raw, orders, rows)", parameters="token = ''\nraw: list[str] = []")
    write(folder / "train.ipynb", "print(rows, clf)", parameters="lr: float = 0.5\nseed = 0\nsince: str | None = ''")
    write(folder / "pick.ipynb", "print(clf, every)")
    (folder / "a.csv").touch()
    (folder / "b.csv").touch()
    (folder / "demo.yaml").write_text(SPEC)
    return workspace


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", "abc")
    monkeypatch.setenv("THE_DATABASE", "sqlite:///x.db")


@pytest.mark.usefixtures("secrets")
def test_a_dry_run_names_the_stages_with_their_values_and_starts_nothing(made: Workspace) -> None:
    plan = service.plan_run(made, "demo", {"lr": Text("3e-1")})
    assert plan.pipeline == "demo" and plan.params == {"lr": 0.3}
    prepare, *trained, pick = plan.stages
    assert prepare == PlannedStage(
        "prepare",
        "prepare.ipynb",
        secrets={"token": "THE_TOKEN"},
        inputs={"raw": "*.csv (2 files)", "orders": "SELECT 1"},
        outputs={"rows": "rows.parquet"},
        reasons=[
            "input 'orders' is a query, whose rows may be others: set for how long a result holds with"
            " 'cache: {ttl: 1d}'"
        ],
    )
    assert [stage.reasons for stage in trained] == [["stage 'prepare' runs", "it has no result yet"]] * 2
    assert [(stage.name, stage.needs, stage.params) for stage in trained] == [
        ("train@lr=0.1", ["prepare"], {"lr": 0.1, "seed": 7}),
        ("train@lr=0.2", ["prepare"], {"lr": 0.2, "seed": 7}),
    ]
    assert pick.inputs == {"clf": "train.clf[max auc] of 2 instances", "every": "train.clf of 2 instances"}
    assert set(pick.needs) == {"train@lr=0.1", "train@lr=0.2"}
    assert service.list_runs(made) == []


def test_a_secret_that_is_not_in_the_environment_is_named_before_anything_starts(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in (service.start_run, service.plan_run, service.check_start):
        with pytest.raises(InvalidInput) as raised:
            start(made, "demo", {})
        assert "THE_TOKEN (parameter 'token' of stage 'prepare')" in raised.value.message
        assert "THE_DATABASE (the connection of input 'orders' of stage 'prepare')" in raised.value.message
        assert "THE_TOKEN=... mlops up" in (raised.value.hint or "") and "process" in (raised.value.where or "")
    monkeypatch.setenv("THE_DATABASE", "")
    with pytest.raises(InvalidInput) as raised:
        service.start_run(made, "demo", {})
    assert "THE_DATABASE" not in raised.value.message
    assert service.list_runs(made) == []


@pytest.mark.usefixtures("secrets")
def test_a_stage_that_asks_for_too_much_is_refused_in_a_dry_run_too(made: Workspace) -> None:
    (made.pipeline_specs / "demo.yaml").write_text(SPEC + "    resources: {cpu: 9999}\n")
    with pytest.raises(SpecError, match="9,999 cores of"):
        service.plan_run(made, "demo", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NotebookOptions({"lrr": Text("1")}), r"notebook 'train\.ipynb' has no parameter 'lrr'"),
        (NotebookOptions({"lr": Text("x"), "sead": 1}), "'x' is not a float.*no parameter 'sead'|'sead'.*'x'"),
        (NotebookOptions({"lr": 1.0}, {"lr": "THE_TOKEN"}), "lr: its value comes from elsewhere"),
        (NotebookOptions({}, {"key": "THE_TOKEN"}), "no parameter 'key'"),
        (NotebookOptions({}, {"since": "NOT_SET"}), "NOT_SET"),
        (NotebookOptions({}, {"since": "a b"}), "'a b' is not the name of an environment variable"),
        (NotebookOptions(timeout=0.0), "timeout"),
        (NotebookOptions(timeout=float("nan")), "timeout"),
        (NotebookOptions(name="a" * 251), "cannot be the name of a run"),
        (NotebookOptions(experiment="x" * 300), "cannot be the name of an experiment"),
        (NotebookOptions(output=Path("/nowhere/at/all.ipynb")), "there is no folder"),
        (NotebookOptions(output=Path("/tmp/out.txt")), "not a notebook"),
    ],
)
@pytest.mark.usefixtures("secrets")
def test_a_notebook_that_cannot_run_as_asked_is_refused(
    made: Workspace, options: NotebookOptions, message: str
) -> None:
    with pytest.raises(WorkbenchError, match=message):
        service.start_notebook(made, made.pipeline_specs / "train.ipynb", options)
    assert service.list_runs(made) == [] and not list(made.pipeline_runs.glob("*"))


def test_the_executed_notebook_never_replaces_the_notebook(made: Workspace, tmp_path: Path) -> None:
    source = made.pipeline_specs / "train.ipynb"
    (link := tmp_path / "link.ipynb").symlink_to(source)
    (folder := tmp_path / "folder.ipynb").mkdir()
    for output in (source, link, folder):
        with pytest.raises(InvalidInput):
            service.start_notebook(made, source, NotebookOptions(output=output))


def test_a_notebook_of_another_language_or_kernel_is_refused(made: Workspace) -> None:
    path = made.pipeline_specs / "train.ipynb"
    text = path.read_text()
    path.write_text(text.replace('"language": "python"', '"language": "R"'))
    with pytest.raises(InvalidInput, match="written in r"):
        service.start_notebook(made, path, NotebookOptions())
    path.write_text(text.replace('"python3"', '"pythom4"'))
    with pytest.raises(NotFound, match="kernel 'pythom4' is not installed"):
        service.start_notebook(made, path, NotebookOptions())
    with pytest.raises(NotFound, match=r"no notebook gone\.ipynb"):
        service.start_notebook(made, made.root / "gone.ipynb", NotebookOptions())
