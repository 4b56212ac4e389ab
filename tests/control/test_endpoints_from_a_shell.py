"""What a user does with an endpoint in a shell: files, checks before sending, its log, and code that asks it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from front_end import Front
from sklearn.linear_model import LogisticRegression

from mlops_workbench.capture import Session
from mlops_workbench.cli import Shell
from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

RANDOM = np.random.default_rng(0)
X = pd.DataFrame({"größe": RANDOM.normal(size=400), "n": RANDOM.integers(0, 9, 400)})
Y = np.where(X["größe"] + X["n"] > 4, "big", "small")
MODEL = LogisticRegression(max_iter=500)


@pytest.fixture
def mlops(running: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], View]]:
    """Run commands beside an endpoint ``sizes``."""
    session = Session(workspace)
    one = session.start_run("line", experiment="sizes")
    one.log_model(MODEL.fit(X, Y), X=X, y=Y)
    one.end("FINISHED")
    session.close()
    running.register("sizes", RegisterRequest("line", alias="champion"))
    running.deploy("sizes", DeployRequest("sizes@champion"))
    monkeypatch.chdir(workspace.root)

    def command(line: str) -> View:
        view = run(line.split(), Shell(), prog="mlops")
        assert view is not None
        return view

    yield command


def test_an_endpoint_answers_files_says_what_it_refuses_and_shows_code_that_runs(
    mlops: Callable[[str], View], running: Client, workspace: Workspace
) -> None:
    root = workspace.root
    X.to_parquet(root / "in.parquet")
    expected = MODEL.predict(X).tolist()
    for name in ("sizes", "sizes@champion"):
        view = mlops(f"predict {name} --batch in.parquet out.parquet --force --keep n")
        found = pd.read_parquet(root / "out.parquet")
        assert found["prediction"].tolist() == expected
        assert found["n"].tolist() == X["n"].tolist()
        assert view.data.runtime == "sklearn-compiled"
    with pytest.raises(InvalidInput, match=r"out\.parquet' exists"):
        mlops("predict sizes --batch in.parquet out.parquet")
    with pytest.raises(InvalidInput, match="is no endpoint"):
        mlops("predict sizes/1 --batch in.parquet other.parquet --log")
    with pytest.raises(InvalidInput, match="--keep is for --batch only"):
        mlops("predict sizes in.parquet --keep n")
    with pytest.raises(NotFound, match="no endpoint 'size'"):
        mlops("predict size --batch in.parquet other.parquet")

    # Answers beside the inputs; what is wrong is said for all columns, and nothing is sent.
    view = mlops("predict sizes in.parquet")
    assert list(view.columns) == ["row", "prediction", "größe", "n"]
    assert re.search(r"400 predictions of sizes, version 1, in [\d.]+ m?s", view.title)
    assert [row[1] for row in view.rows] == expected[:20]
    before = running.endpoint("sizes").errors
    X.rename(columns={"größe": "grösse"}).assign(n="viele").to_csv(root / "bad.csv", index=False)
    with pytest.raises(InvalidInput) as refused:
        mlops("predict sizes bad.csv")
    for part in ("missing input column 'größe'", "unknown: 'grösse'", "column 'n': expected numbers, got texts"):
        assert part in refused.value.message
    assert running.endpoint("sizes").errors == before

    row = dict(zip((table := mlops("endpoints")).columns, table.rows[0], strict=True))
    assert (row["endpoint"], row["state"], row["runtime"], row["workers"]) == ("sizes", "ready", "sklearn-compiled", 1)
    assert dict(mlops("endpoints sizes").facts)["runtime"] == "sklearn-compiled"
    log = mlops("endpoints logs sizes -n 200").block
    assert "endpoint 'sizes' listens on" in log
    assert mlops("endpoints logs sizes -n 1").block == log.splitlines()[-1]

    snippets = mlops("endpoints snippets sizes").data
    assert list(snippets) == ["curl", "python", "httpx", "mlflow", "kserve", "triton"]
    for client in ("curl", "python", "httpx"):
        words = ["bash", "-c", snippets[client]] if client == "curl" else [sys.executable, "-c", snippets[client]]
        done = subprocess.run(words, capture_output=True, text=True, cwd=root, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\b(big|small)\b", done.stdout), client
    assert mlops("endpoints snippets sizes --for curl").data == {"curl": snippets["curl"]}
    assert json.loads(snippets["curl"].split("-d ")[1].strip("'"))["dataframe_split"]["columns"] == ["größe", "n"]
    in_a_notebook(root)
    mlops("endpoints sizes --remove")
    assert mlops("endpoints").title == "no endpoints yet"


def test_a_rollback_in_a_notebook_asks_why_where_somebody_can_answer(
    mlops: Callable[[str], View], running: Client, workspace: Workspace
) -> None:
    session = Session(workspace)
    two = session.start_run("steeper line", experiment="sizes")
    two.log_model(LogisticRegression(C=9).fit(X, Y), X=X, y=Y)
    two.end("FINISHED")
    session.close()
    running.register("sizes", RegisterRequest("steeper line", alias="champion"))
    running.wait_endpoint("sizes", 2)
    front = Front(workspace.root)
    try:
        front.run("%load_ext mlops_workbench")
        # Executed without a person: papermill, nbconvert.
        refused = str(front.run("%mlops rollback sizes"))
        assert "say why version 2 is left" in refused and "--reason" in refused
        assert running.endpoint("sizes").version == 2

        front.client.execute("%mlops rollback sizes", allow_stdin=True)
        question = front.client.get_stdin_msg(timeout=120)["content"]["prompt"]
        assert question == "Why is version 2 left: "
        front.client.input("worse for tall ones")
        assert front.client.get_shell_msg(timeout=120)["content"]["status"] == "ok"
        assert running.wait_endpoint("sizes", 1).version == 1
        assert "worse for tall ones" in running.releases("sizes")[0].reason
    finally:
        front.close()


def in_a_notebook(root: Path) -> None:
    """The same endpoint in a kernel: a table that follows it, and a form."""
    front = Front(root)
    try:
        front.run("%load_ext mlops_workbench\nimport pandas as pd\nX = pd.read_parquet('in.parquet')")
        (table,) = [one for one in front.run("%mlops endpoints", cell_id="a") if one["type"] == "display_data"]
        assert "sklearn-compiled" in table["data"]["text/html"]
        assert set(table["data"]) == {"text/plain", "text/html"}
        front.run("for _ in range(25):\n    %mlops predict sizes X.head(4)", cell_id="b")
        # The table is updated in its place, after its cell has ended.
        updated: list[dict[str, Any]] = []
        deadline = time.monotonic() + 60
        while not updated and time.monotonic() < deadline:
            message = front.client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "update_display_data":
                updated.append(message["content"])
        assert updated[0]["transient"] == table["transient"]
        shown = front.run("from mlops_workbench import try_endpoint\nform = try_endpoint('sizes')\nform", cell_id="c")
        assert not [one for one in shown if one["type"] == "error"], shown
        answers = [one for one in shown if "endpoint sizes" in one.get("data", {}).get("text/plain", "")]
        assert "widget-view" not in str(answers[-1]["data"]) and "größe" in answers[-1]["data"]["text/html"]
        changed = front.run("form.controls['n'].value = 8; form.answer.outputs['predict']")
        assert changed[-1]["data"]["text/plain"] in ("['big']", "['small']")
    finally:
        front.close()
