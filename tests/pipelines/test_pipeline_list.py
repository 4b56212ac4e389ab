"""One pipeline that cannot be read is listed with its problem, and takes no other away."""

from __future__ import annotations

import json

import pytest

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.plan import specs
from mlops_workbench.pipelines.plan.specs import list_pipelines


def notebook(source: str) -> str:
    cell = {"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}, "outputs": [],
            "execution_count": None, "id": "a"}  # fmt: skip
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[" * 3000,
            '{"a": ' * 5000,
            "{}",
            "null",
            '{"nbformat": 99, "nbformat_minor": 0, "cells": [], "metadata": {}}',
        ),
        *(notebook("a = " + "-" * 5000 + "1"), notebook("a = " + "+".join(["1"] * 5000)), notebook("a = '\0'")),
        *(notebook("a: " + "list[" * 3000 + "int" + "]" * 3000 + " = 1"), notebook("a = " + "9" * 5000)),
    ],
)
def test_a_notebook_that_cannot_be_read_is_the_problem_of_its_pipeline(workspace: Workspace, text: str) -> None:
    folder = workspace.pipeline_specs
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("bad", text), ("good", notebook("a: int = 1"))):
        (folder / f"{name}.ipynb").write_text(content)
        (folder / f"{name}.yaml").write_text(f"version: 1\nstages: {{a: {{notebook: {name}.ipynb}}}}\n")
    (folder / "odd.yaml").write_text("version: 1\nstages: " + "[" * 3000)
    bad, good, odd = list_pipelines(workspace)
    assert "notebook 'bad.ipynb' of stage 'a'" in bad.problem and good.problem == ""
    assert "nested too deeply" in odd.problem


def test_a_spec_that_is_a_link_to_nowhere_is_listed_with_its_problem(workspace: Workspace) -> None:
    folder = workspace.pipeline_specs
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.yaml").symlink_to(folder / "gone.yaml")
    (folder / "b.yaml").symlink_to(folder / "b.yaml")
    (folder / "no-spec.yaml").mkdir()
    assert [(pipeline.name, bool(pipeline.problem)) for pipeline in list_pipelines(workspace)] == [
        ("a", True),
        ("b", True),
    ]


def test_what_nobody_thought_of_is_the_problem_of_its_pipeline_too(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workspace.pipeline_specs
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("bad", "good"):
        (folder / f"{name}.yaml").write_text("version: 1\nstages: {a: {notebook: gone.ipynb}}\n")
    describe = specs._described

    def odd(of: Workspace, path):  # type: ignore[no-untyped-def]
        if path.stem == "bad":
            raise ZeroDivisionError("odd")
        return describe(of, path)

    monkeypatch.setattr(specs, "_described", odd)
    bad, good = list_pipelines(workspace)
    assert "ZeroDivisionError: odd" in bad.problem and "gone.ipynb" in good.problem
