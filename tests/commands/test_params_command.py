"""``mlops params`` shows the parameters of a notebook, and tags one on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.workspace import Workspace


class Shell:
    """A shell that has no control plane."""

    prog = "mlops"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace


@pytest.fixture
def shell(workspace: Workspace) -> Any:
    return Shell(workspace)


def view_of(shell: Any, *words: str) -> View:
    view = run(["params", *words], shell, prog="mlops")
    assert view is not None
    return view


def write(path: Path, *sources: str, tags: dict[int, str] | None = None, language: str = "python") -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
        metadata={"kernelspec": {"name": "k", "display_name": "K", "language": language}},
    )
    for index, tag in (tags or {}).items():
        notebook.cells[index].metadata["tags"] = [tag]
    nbformat.write(notebook, path)
    return path


def test_the_table_has_name_type_default_and_help(shell: Any, tmp_path: Path) -> None:
    cell = "rate: Annotated[float, Gt(0)] = 0.1  # learning rate\nmust: int\nname = ''\nnow = today()\nmost = inf"
    path = write(tmp_path / "a.ipynb", "import os", cell, tags={1: "parameters"})
    view = view_of(shell, str(path))
    assert (view.title, list(view.facts)) == ("parameters of a.ipynb", [("cell", 2)])
    assert list(view.rows) == [
        ("rate", "float (above 0)", "0.1", "learning rate"),
        ("must", "int", "required", None),
        ("name", "str", "''", None),
        ("now", "any", "computed: today()", None),
        ("most", "float", "inf", None),
    ]
    schema = json.loads(view.json())
    assert schema["required"] == ["must"]
    assert json.loads(view_of(shell, str(path), "--schema").block) == schema


def test_without_the_tag_a_cell_is_proposed_and_nothing_is_written(shell: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "my notebook.ipynb", "depth = 3\nprint(1)", "depth")
    before = path.read_bytes()
    view = view_of(shell, str(path))
    text = view.text()
    assert "has no cell with the tag 'parameters'" in text
    assert "depth = 3" in view.sections[1].block
    assert f"'mlops params '{path}' --tag' inserts this cell as cell 2" in " ".join(view.notes)
    assert path.read_bytes() == before


def test_a_long_notebook_has_few_notes(shell: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb", "\n".join(f"open('{number}.csv')" for number in range(30)))
    assert len(view_of(shell, str(path)).notes) == 10
    assert view_of(shell, str(path)).notes[-1] == "and 22 more of this kind"


def test_on_request_the_cell_is_written_once(shell: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "real.ipynb", "depth = 3  # levels\n", "depth")
    path.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    assert view_of(shell, str(link), "--tag").title == "link.ipynb: cell 1 has the tag 'parameters' now"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(view_of(shell, str(path)).rows) == [("depth", "int", "3", "levels")]
    before = path.read_bytes()
    assert "nothing was changed" in view_of(shell, str(path), "--tag").notes[0]
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["link.ipynb", "real.ipynb"]


@pytest.mark.parametrize(
    ("sources", "tags", "language", "message"),
    [
        (["print(1)"], {}, "python", "has no assignments that could be parameters"),
        (["x <- 1", "x"], {}, "R", "is written in r"),
        (["x = = 1"], {0: "parameters"}, "python", "not valid Python"),
    ],
)
def test_what_cannot_be_tagged_is_refused(
    shell: Any, tmp_path: Path, sources: list[str], tags: dict[int, str], language: str, message: str
) -> None:
    path = write(tmp_path / "a.ipynb", *sources, tags=tags, language=language)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match=message):
        run(["params", str(path), "--tag"], shell, prog="mlops")
    assert path.read_bytes() == before


def test_only_the_format_of_jupyter_is_tagged(shell: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "depth = 3", "depth")
    with pytest.raises(InvalidInput, match=r"only \.ipynb files can be tagged"):
        run(["params", str(path), "--tag"], shell, prog="mlops")


def test_a_tag_at_a_text_cell_is_named(shell: Any, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("x", metadata={"tags": ["parameters"]})])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    with pytest.raises(InvalidInput, match="cell 1 has the tag 'parameters' but is not code"):
        run(["params", str(tmp_path / "a.ipynb")], shell, prog="mlops")
