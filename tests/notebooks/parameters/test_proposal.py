"""A notebook without parameters gets a proposal; on request it is written, and nothing else of the file changes."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.inspection import _infer_parameters

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.declared import notebook_parameters
from mlops_workbench.notebooks.parameters.inject import inject
from mlops_workbench.notebooks.parameters.proposal import propose
from mlops_workbench.notebooks.parameters.tagging import tagged

MIXED = [
    "import math\nfrom pathlib import Path",
    'data = Path("x.csv")  # file\ndepth: int = 3  # levels\nlow = 1; high = 2\n'
    'names = [\n    "a",  # first\n]\nprint("set")',
    "def area():\n    return depth * factor\n\nfactor = 2\nseen = []\nbest = None",
    "total = area() + low + high + len(names) + len(str(data))\n"
    "seen.append(total)\nbest = total\nhidden = 5\nhidden + 1",
    "result = (total, seen)",
]


def notebook_of(*sources: str, minor: int = 5) -> Any:
    cells = [nbformat.v4.new_markdown_cell("# title")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
        if minor < 5:
            del cell["id"]
    return nbformat.v4.new_notebook(
        cells=cells, nbformat_minor=minor, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )


def common(one: str, other: str) -> int:
    """Number of characters that both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def executed(notebook: Any) -> dict[str, object]:
    namespace: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), namespace)
    return namespace


def test_assignments_among_other_code_are_repeated_in_a_new_cell_before_their_first_use() -> None:
    proposal = propose(notebook_of(*MIXED))
    assert (proposal.new, proposal.index) == (True, 4)
    assert proposal.source.splitlines() == [
        'data = Path("x.csv")  # file',
        "depth: int = 3  # levels",
        "low = 1",
        "high = 2",
        "names = [",
        '    "a",  # first',
        "]",
        "factor = 2",
    ]
    assert {name: parameter.help for name, parameter in proposal.parameters.items() if parameter.help} == {
        "data": "file",
        "depth": "levels",
    }
    assert "cell 5 assigns 'hidden': move it to the cell with the parameters" in proposal.notes


def test_values_for_the_proposed_parameters_take_effect() -> None:
    notebook = notebook_of(*MIXED)
    changed = nbformat.reads(tagged(nbformat.writes(notebook), propose(notebook), "new"), as_version=4)
    assert executed(changed)["result"] == executed(notebook)["result"]
    values = {"depth": 7, "factor": 11, "low": 0, "high": 0, "names": []}
    assert executed(inject(changed, values))["total"] == 7 * 11 + len("x.csv")


def test_a_cell_with_nothing_but_such_assignments_is_tagged_as_it_is() -> None:
    notebook = notebook_of(
        "lr = 0.1  # rate\nunused = 1",
        "from datetime import date\nsince = date(2026, 1, 1)\ndepth = 3",
        "lr, since, depth",
    )
    proposal = propose(notebook)
    assert (proposal.new, proposal.index, list(proposal.parameters)) == (False, 2, ["since", "depth"])
    assert proposal.notes == ("cell 2 assigns 'lr': move it to the cell with the parameters",)


@pytest.mark.parametrize(
    "sources",
    [
        ["x = 1"],  # never read
        ["x = 1\ny = x + 1", "y"],  # read in its own cell
        ["x = 1", "x += 1", "x"],
        ["x = 1", "for x in range(3): pass", "x"],
        ["rows = []", "rows.append(1)", "rows"],
        ["x = make()", "x"],
        ["def f():\n    x = 1\n    return x", "f()"],
        ["if 1:\n    x = 1", "x"],
        ["_x = 1", "_x"],
        ["%%bash\nx=1", "echo = x"],
        ["f(", "x"],
        [],
    ],
)
def test_what_a_value_from_outside_would_not_change_is_not_proposed(sources: list[str]) -> None:
    assert propose(notebook_of(*sources)).parameters == {}


def test_paths_and_seeds_in_the_code_are_noted() -> None:
    proposal = propose(
        notebook_of(
            "df = pd.read_csv('data/x.csv')\nnp.random.seed(3)", "fit(random_state=4)\nnp.random.default_rng(5)"
        )
    )
    texts = " ".join(proposal.notes)
    assert "cell 2 uses the path 'data/x.csv'" in texts
    assert all(f"uses the seed {seed}" in texts for seed in (3, 4, 5))


def test_a_function_reads_when_it_is_called_and_not_when_it_is_defined() -> None:
    notebook = notebook_of("def f():\n    return x", "x = 1", "class A:\n    def g(self): return f()", "a = A().g()")
    proposal = propose(notebook)
    assert (proposal.index, proposal.new, list(proposal.parameters)) == (2, False, ["x"])
    assert propose(notebook_of("x = 1\ndef f():\n    return x", "f()")).new


def test_an_injected_cell_is_not_proposed() -> None:
    notebook = notebook_of("x = 1", "x")
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    assert propose(notebook).parameters == {}


layouts = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 1, 2, 4, "\t"]),
        "ensure_ascii": st.booleans(),
        "sort_keys": st.booleans(),
        "separators": st.sampled_from([None, (",", ":"), (", ", ": "), (",", ": ")]),
    }
)
metadata = st.sampled_from(
    [
        {},
        {"tags": []},
        {"tags": ["a", "b"]},
        {"collapsed": True},
        {"zeta": 1.50, "alpha": {"tags": []}},
        {"trusted": 1e300},
    ]
)


@given(
    layouts,
    metadata,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", "\n\n", "  "]),
    st.booleans(),
    st.sampled_from([2, 4, 5]),
)
def test_every_other_byte_of_the_file_stays(
    layout: dict[str, Any], extra: dict[str, Any], line: str, end: str, pure: bool, minor: int
) -> None:
    config = 'lr = 0.1\nname = "ä \\" \U0001f600"' + ("" if pure else "\nprint(1)")
    notebook = notebook_of("import os", config, "lr, name", minor=minor)
    for cell in notebook.cells:
        cell.metadata.update(extra)
    plain = json.loads(nbformat.writes(notebook))
    text = json.dumps(plain, **layout).replace("\n", line) + end
    proposal = propose(nbformat.reads(text, as_version=4))
    assert proposal.new is not pure
    after = tagged(text, proposal, "new-cell")
    nbformat.validate(nbformat.reads(after, as_version=4))
    assert common(text, after) + common(text[::-1], after[::-1]) >= len(text)
    found = json.loads(after)
    index = proposal.index
    assert found["nbformat_minor"] == minor
    if pure:
        assert found["cells"][index]["metadata"].pop("tags") == [*extra.get("tags", []), "parameters"]
        plain["cells"][index]["metadata"].pop("tags", None)
    else:
        assert "".join(found["cells"].pop(index)["source"]) == proposal.source
    assert found == plain
    if layout["indent"] is not None and line == "\n" and layout["separators"] != (", ", ": "):
        # The new lines are laid out like those of the file.
        assert json.dumps(json.loads(after), **{**layout, "sort_keys": False}) + end == after


def test_a_notebook_as_jupyter_writes_it_is_written_as_jupyter_would() -> None:
    notebook = notebook_of("lr = 0.1", "lr")
    notebook.cells[1].metadata.update({"collapsed": False, "vscode": {}})
    text = nbformat.writes(notebook) + "\n"
    after = tagged(text, propose(notebook), "new")
    assert nbformat.writes(nbformat.reads(after, as_version=4)) + "\n" == after


def test_papermill_finds_the_parameters_of_a_tagged_notebook() -> None:
    notebook = notebook_of(*MIXED)
    after = nbformat.reads(tagged(nbformat.writes(notebook), propose(notebook), "new"), as_version=4)
    for cell in after.cells:
        cell.metadata.setdefault("tags", [])
    assert {"depth", "factor", "low"} <= {parameter.name for parameter in _infer_parameters(after, "python3", "python")}
    assert list(notebook_parameters(after)) == ["data", "depth", "low", "high", "names", "factor"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"cells": []}', '{"nbformat": 3, "worksheets": []}', '{"nbformat": 4}']
)
def test_what_is_no_notebook_of_today_is_refused(text: str) -> None:
    proposal = propose(notebook_of("lr = 0.1", "lr"))
    with pytest.raises(InvalidInput):
        tagged(text, proposal, "new")
