"""``mlops run NOTEBOOK``: a notebook as a tracked run, with its values, its result and the reason of a failure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from notebook_files import write

from mlops_workbench.client.bodies import NotebookRunRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address, token_file
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

PARAMETERS = """\
rate: float = 0.1  # step of the search
since: str | None = 'start'
months: list[int] = []
where = 'a=b'
token: str = ''
"""
FAILS = "def halve(value):\n    return value / zero"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace.init(tmp_path_factory.mktemp("notebooks") / "my wörkspace")
    write(
        made.root / "deep" / "fit it.ipynb",
        "from mlops_workbench import log\nlog(auc=rate, loss=float('nan'))",
        "print(repr((rate, since, months, where)))",
        parameters=PARAMETERS,
    )
    write(made.root / "fails.ipynb", FAILS, "x = 1\nhalve(x)\ny = 2", parameters="zero: int = 0")
    write(made.root / "waits.ipynb", "import time\ntime.sleep(600)")
    yield made
    address = read_address(made)
    if address is not None:
        address.process.stop(grace=20)


def mlops(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def run(folder: Path, *words: str) -> dict[str, Any]:
    done = mlops(folder, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def printed(path: str | Path) -> str:
    """What the last cell of an executed notebook printed."""
    return str(nbformat.read(path, as_version=4).cells[-1].outputs[0].text).strip()


def test_a_notebook_is_a_run_of_its_own_with_its_values_metrics_and_output(workspace: Workspace) -> None:
    folder = workspace.root / "deep"
    before = (folder / "fit it.ipynb").read_bytes()
    (folder / "values.yaml").write_text("months: [1, 2]\nsince: 2026-01-02\nrate: 7\n")
    words = ("-p", "rate=5e-1", "-p", "where=c=d", "--name", "best", "-e", "tries", "-o", "out.ipynb")
    found = run(folder, "fit it.ipynb", "--params-file", "values.yaml", *words)
    one = found["run"]
    assert (one["kind"], one["pipeline"], one["state"]) == ("notebook", "deep/fit it.ipynb", "succeeded")
    assert one["params"] == {"rate": 0.5, "since": "2026-01-02", "months": "[1, 2]", "where": "c=d"}
    assert found["metrics"] == {"auc": 0.5, "loss": "NaN"}
    # Relative to the folder of the caller, as the notebook is.
    assert found["notebook"] == str(folder / "out.ipynb")
    assert printed(found["notebook"]) == "(0.5, '2026-01-02', [1, 2], 'c=d')"
    assert (folder / "fit it.ipynb").read_bytes() == before
    with Client.connect(workspace) as client:
        detail = client.run(one["run_uid"])
        [listed] = [other for other in client.pipeline_runs() if other.id == one["id"]]
    assert (detail.run.name, detail.run.experiment, detail.run.parent_uid) == ("best", "tries", "")
    assert detail.run.params["months"] == "[1, 2]" and detail.run.status == "FINISHED"
    assert "notebook" in {file.kind for file in detail.artifacts}
    assert (listed.kind, [stage.name for stage in listed.stages]) == ("notebook", ["fit it"])
    shown = mlops(workspace.root, "pipeline", "show", one["id"][-8:]).stdout
    assert "notebook deep/fit it.ipynb" in shown and "succeeded" in shown
    assert "best" in mlops(workspace.root, "runs", "-e", "tries").stdout
    assert "--all includes stages of pipelines" in mlops(workspace.root, "runs", "-e", "others").stdout


def test_null_is_no_value_where_that_is_possible_and_defaults_stay(workspace: Workspace) -> None:
    found = run(workspace.root, "deep/fit it.ipynb", "-p", "since=null")
    assert printed(found["notebook"]) == "(0.1, None, [], 'a=b')"
    assert found["run"]["params"] == {"since": None}


def test_a_failure_is_told_in_one_line_with_the_cell_and_its_traceback(workspace: Workspace) -> None:
    done = mlops(workspace.root, "run", "fails.ipynb")
    assert done.returncode == 1 and done.stdout == ""
    [reason] = [line for line in done.stderr.splitlines() if line.startswith("mlops:")]
    assert reason.endswith("failed: fails.ipynb, cell 4: ZeroDivisionError: division by zero")
    assert "\nfails, cell 4, line 2: halve(x)\n" in done.stderr
    assert "----> 2 halve(x)" in done.stderr and "return value / zero" in done.stderr
    path = done.stderr.partition("hint: the executed notebook is ")[2].strip()
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    assert [output.ename for output in outputs if output.output_type == "error"] == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("deep/fit it.ipynb", "-p", "rat=1"), "did you mean 'rate'?"),
        (("deep/fit it.ipynb", "-p", "rate=much"), "rate: 'much' is not a float"),
        (("deep/fit it.ipynb", "-p", "rate=1", "-p", "rate=2"), "'rate' is given twice"),
        (("deep/fit it.ipynb", "-p", "rate"), "name=value"),
        (("deep/fit it.ipynb", "--secret", "token=NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE (parameter 'token'"),
        (("deep/fit it.ipynb", "--secret", "token=NO-NAME"), "'NO-NAME' is not the name of an environment variable"),
        (("deep/fit it.ipynb", "--timeout", "soon"), "'soon' is not a time"),
        (("deep/fit it.ipynb", "-o", "out.txt"), "ends in .ipynb"),
        (("deep/fit it.ipynb", "-o", "gone/out.ipynb"), "there is no folder"),
        (("deep/fit it.ipynb", "-o", "deep/../deep/fit it.ipynb"), "which a run never changes"),
        (("deep/fit it.ipynb", "--params-file", "gone.yaml"), "there is no file 'gone.yaml'"),
        (("deep/fit it.ipynb", "--name", "a" * 300), "cannot be the name of a run"),
        (("gone.ipynb",), "there is no notebook gone.ipynb"),
        (("deep",), "there is no notebook deep"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    workspace: Workspace, words: tuple[str, ...], message: str
) -> None:
    with Client.connect(workspace) as client:
        before = client.pipeline_runs(1000)
        done = mlops(workspace.root, "run", *words)
        assert done.returncode in (1, 2) and message in done.stderr, done.stderr
        assert client.pipeline_runs(1000) == before


def test_a_run_in_the_background_can_be_cancelled(workspace: Workspace) -> None:
    done = mlops(workspace.root, "run", "waits.ipynb", "--background", "--json")
    started = json.loads(done.stdout)
    assert started["state"] in ("pending", "running")
    with Client.connect(workspace) as client:
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline and not client.pipeline_run(started["id"]).stages[0].run_uid:
            time.sleep(0.1)
        assert mlops(workspace.root, "pipeline", "cancel", started["id"][-8:]).returncode == 0
        assert client.wait_pipeline(started["id"], timeout=100).state == "cancelled"


def test_a_run_goes_on_when_the_command_is_interrupted(workspace: Workspace) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "mlops_workbench.cli", "run", "waits.ipynb"],
        cwd=workspace.root, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "  waits: running\n"
    waiting.send_signal(signal.SIGINT)
    rest = waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 130
    run_id = rest.partition("the run goes on: 'mlops pipeline cancel ")[2].partition("'")[0]
    with Client.connect(workspace) as client:
        [found] = [other for other in client.pipeline_runs() if other.id.endswith(run_id)]
        assert found.state == "running"
        client.cancel_pipeline_run(found.id)
        assert client.wait_pipeline(found.id, timeout=100).state == "cancelled"


def test_a_notebook_runs_another_one_with_the_magic(workspace: Workspace) -> None:
    line = "%mlops run 'fit it.ipynb' -p rate=0.25 -p 'months=[7, 8]' -e inner"
    write(
        workspace.root / "deep" / "outer.ipynb",
        f"%load_ext mlops_workbench\nview = get_ipython().run_line_magic('mlops', {line.removeprefix('%mlops ')!r})",
        "print(view.data['metrics']['auc'], view.data['run'].state, view.data['notebook'])",
    )
    outer = run(workspace.root, "deep/outer.ipynb")
    auc, state, path = printed(outer["notebook"]).split(" ", 2)
    assert (auc, state) == ("0.25", "succeeded") and printed(path) == "(0.25, 'start', [7, 8], 'a=b')"
    with Client.connect(workspace) as client:
        # A run of its own, not a part of the run that asked for it.
        [inner] = client.runs("inner")
        assert inner.parent_uid == "" and inner.kind == "notebook"


def test_a_timeout_ends_it_with_that_reason(workspace: Workspace) -> None:
    done = mlops(workspace.root, "run", "waits.ipynb", "--timeout", "3s")
    assert done.returncode == 1
    assert "the stage took longer than its timeout of 3 s" in done.stderr.partition("mlops: ")[2]


def test_the_api_takes_paths_in_the_workspace_and_values_of_json(workspace: Workspace) -> None:
    with Client.connect(workspace) as client:
        request = NotebookRunRequest("deep/fit it.ipynb", {"months": [3], "since": None}, {"where": "null"})
        done = client.wait_pipeline(client.start_notebook(request).id, timeout=200)
        assert done.params == {"months": "[3]", "since": None, "where": "null"}
        for path in ("../x.ipynb", "", "deep/../../x.ipynb"):
            with pytest.raises(InvalidInput):
                client.start_notebook(NotebookRunRequest(path))
        with pytest.raises(NotFound):
            client.pipeline_run_results("nothing")
        headers = {"Authorization": f"Bearer {token_file(workspace).read_text()}"}
        with httpx.Client(base_url=client.url, headers=headers, trust_env=False) as http:
            assert http.post("/api/notebook-runs", json={"params": {}}).status_code == 422
            assert http.post("/api/notebook-runs", json={"notebook": "a", "timeout": "x"}).status_code == 422
