"""A user is told in a shell what a pipeline would reuse, and why the rest runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from notebook_files import write

from mlops_workbench.client.launch import read_address
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

SPEC = """\
version: 2
params: {word: hello}
stages:
  make: {notebook: make.ipynb, params: [word], outputs: {out: out.txt}}
  use: {notebook: use.ipynb, inputs: {out: make.out}}
"""


@pytest.fixture
def home(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace with two pipelines, of which the second has a stage name of the first."""
    folder = workspace.pipeline_specs
    write(folder / "make.ipynb", "open(out, 'w').write(word)", parameters="word = out = ''")
    write(folder / "use.ipynb", "open(out).read(), open('notes.txt').read()", parameters="out = ''")
    (folder / "notes.txt").write_text("notes")
    (folder / "first.yaml").write_text(SPEC)
    (folder / "second.yaml").write_text("version: 2\nstages:\n  use: {notebook: use.ipynb, inputs: {out: notes.txt}}\n")
    yield workspace
    address = read_address(workspace)
    if address is not None:
        address.process.stop(grace=20)


def mlops(workspace: Workspace, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if "--json" in words else done.stdout + done.stderr


def test_a_user_sees_what_is_reused_and_why_the_rest_runs(home: Workspace) -> None:
    text = mlops(home, "pipeline", "run", "first")
    assert "stage 'use' reads notes.txt, which is not an input: add 'inputs: {notes: notes.txt}'" in text
    text = mlops(home, "pipeline", "run", "first")
    assert text.count("reused from run") == 4
    assert "nothing has changed since run" in mlops(home, "pipeline", "why", "make")
    (home.pipeline_specs / "notes.txt").write_text("other")
    text = mlops(home, "pipeline", "why", "first", "use")
    assert "notes.txt has changed" in text and "make" not in text
    text = mlops(home, "pipeline", "why", "first", "-p", "word=bye")
    assert "parameter 'word': 'hello' -> 'bye'" in text and "stage 'make' runs" in text
    text = mlops(home, "pipeline", "run", "first", "--dry-run")
    assert "pipeline first would run 1 stage, and take 1 from the cache" in text
    assert "notes.txt has changed" in mlops(home, "pipeline", "show", "first")
    planned = json.loads(mlops(home, "pipeline", "why", "first", "--json"))
    assert [(stage["cached"], stage["reasons"]) for stage in planned] == [
        (True, []),
        (False, ["notes.txt has changed"]),
    ]


@pytest.mark.long
def test_stages_are_chosen_by_name(home: Workspace) -> None:
    mlops(home, "pipeline", "run", "first")

    def states(*words: str) -> list[tuple[str, bool]]:
        run = json.loads(mlops(home, "pipeline", "run", "first", "--json", *words))
        return [(stage["name"], stage["cached"]) for stage in run["stages"]]

    assert states("--from", "use") == [("make", True), ("use", False)]
    assert states("--only", "make") == [("make", False)]
    assert states("--force=make") == [("make", False), ("use", True)]
    assert states("--force") == [("make", False), ("use", False)]


def test_wrong_names_of_stages_are_refused_before_anything_runs(home: Workspace) -> None:
    for code, words, said in (
        (2, ["run", "first", "--only", "use"], "stage 'make', whose outputs it needs, has no kept result"),
        (2, ["run", "first", "--from", "usee"], "pipeline 'first' has no stage 'usee'"),
        (2, ["run", "first", "--only", "use", "--force"], "a run of only one stage cannot begin with another"),
        (2, ["why", "use"], "2 pipelines have a stage 'use'"),
        (1, ["why", "mke"], "did you mean 'make'?"),
        (1, ["why", "first", "nothing"], "pipeline 'first' has no stage 'nothing'"),
    ):
        assert said in mlops(home, "pipeline", *words, code=code), words
