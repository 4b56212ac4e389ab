"""Commands that write, migrate and draw specs; they need no run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import notebook_files
import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address, token_file
from mlops_workbench.commands.app import run
from mlops_workbench.commands.pipelines.graph import pipeline_view
from mlops_workbench.core.errors import Conflict, NotFound
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.schema import json_schema
from mlops_workbench.pipelines.plan.specs import list_pipelines

OLD = """\
version: 1
stages:
  a:
    notebook: a.ipynb  # one
    outputs: {m: m.skops}
  b: {notebook: b.ipynb, inputs: {x: a.m}}
publish: {stage: a, as: churn, gate: [auc > 0.8]}
"""


class FrontEnd:
    """A shell whose control plane is not needed."""

    prog = "mlops"

    def __init__(self, workspace: Workspace, client: Client | None = None) -> None:
        self.workspace = workspace
        self._client = client

    def client(self) -> Any:
        assert self._client is not None, "these words need no control plane"
        return self._client


@pytest.fixture
def old(workspace: Workspace) -> Path:
    folder = workspace.pipeline_specs
    notebook_files.write(folder / "a.ipynb", parameters="m = ''")
    notebook_files.write(folder / "b.ipynb", parameters="x = ''")
    (folder / "churn.yaml").write_text(OLD)
    return folder / "churn.yaml"


def test_migrate_shows_its_changes_and_writes_them_unless_it_is_a_dry_run(workspace: Workspace, old: Path) -> None:
    view = run(["pipeline", "migrate", "churn", "--dry-run"], FrontEnd(workspace), prog="mlops")
    assert view is not None and "-version: 1\n+version: 2" in view.text() and old.read_text() == OLD
    view = run(["pipeline", "migrate", "churn"], FrontEnd(workspace), prog="mlops")
    assert view is not None and "was rewritten" in view.title
    assert "the gate is one of stage 'a' now: when it fails, b will not run" in view.text()
    assert (read_spec(old).version, read_spec(old).stages["a"].gate) == (2, ("auc > 0.8",))
    assert "notebook: a.ipynb  # one" in old.read_text()
    with pytest.raises(Conflict, match="version 2 already"):
        run(["pipeline", "migrate", "churn"], FrontEnd(workspace), prog="mlops")
    with pytest.raises(NotFound, match=r"'chrn'\n.*'churn'"):
        run(["pipeline", "migrate", "chrn"], FrontEnd(workspace), prog="mlops")


def test_new_names_the_pipeline_after_its_notebook_or_their_folder(workspace: Workspace) -> None:
    for name in ("one", "two"):
        notebook_files.write(workspace.root / "Kunden & mehr" / f"{name}.ipynb", "print(n)", parameters="n = 1")
    paths = [str(path) for path in sorted((workspace.root / "Kunden & mehr").iterdir())]
    one = run(["pipeline", "new", paths[0]], FrontEnd(workspace), prog="mlops")
    both = run(["pipeline", "new", *paths], FrontEnd(workspace), prog="mlops")
    assert one is not None and both is not None
    assert one.title.startswith("new pipeline one: 1 stage in") and "next: mlops pipeline run one" in one.text()
    assert both.title.startswith("new pipeline Kunden---mehr: 2 stages in")
    assert [pipeline.problem for pipeline in list_pipelines(workspace)] == ["", ""]


def test_a_pipeline_is_drawn_as_text_and_in_a_notebook_as_svg(workspace: Workspace, old: Path) -> None:
    pipeline = list_pipelines(workspace)[0]
    view = pipeline_view(pipeline, None, "mlops")
    assert "a      never ran\n└─▶ b  never ran" in view.text()
    assert "mlops pipeline migrate churn writes it anew" in view.text()
    assert "<svg" in view.html() and "└─▶" not in view.html()
    old.write_text(OLD.replace("b.ipynb", "gone.ipynb"))
    assert "there is no notebook gone.ipynb" in pipeline_view(list_pipelines(workspace)[0], None, "mlops").text()
    old.write_text("version: 2\n")
    assert "lacks 'stages'" in pipeline_view(list_pipelines(workspace)[0], None, "mlops").text()


def test_init_writes_the_schema_for_editors(tmp_path: Path) -> None:
    run(["init", str(tmp_path / "new")], FrontEnd(Workspace.open(tmp_path)), prog="mlops")
    assert json.loads((tmp_path / "new" / ".mlops" / "pipeline.schema.json").read_text()) == json_schema()


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    try:
        with Client.connect(workspace) as found:
            yield found
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


@pytest.mark.process
def test_the_control_plane_serves_graph_and_schema(workspace: Workspace, old: Path, client: Client) -> None:
    served = client.pipelines()[0]
    assert [(stage.name, stage.needs) for stage in served.graph] == [("a", []), ("b", ["a"])]
    headers = {"Authorization": f"Bearer {token_file(workspace).read_text()}"}
    response = httpx.get(f"{client.url}/api/pipeline-schema", headers=headers, trust_env=False)
    assert (response.status_code, response.json()) == (200, json_schema())
    view = run(["pipeline", "show", "churn"], FrontEnd(workspace, client), prog="mlops")
    assert view is not None and "└─▶ b" in view.text() and json.loads(view.json())["pipeline"]["name"] == "churn"
