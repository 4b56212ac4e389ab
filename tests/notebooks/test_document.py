"""Notebooks on disk."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import nbformat
import pytest

from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.notebooks.document import (
    PARAMETERS_TAG,
    code_cells,
    kernel_name,
    language,
    read_notebook,
    tagged_cell,
    write_notebook,
)


def test_a_written_notebook_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "a b" / "ä.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("'ü'"), nbformat.v4.new_code_cell(" ")])
    write_notebook(notebook, file)
    assert read_notebook(file) == notebook
    assert list(code_cells(notebook)) == [(0, "'ü'")]
    assert (kernel_name(notebook), language(notebook)) == ("python3", "python")
    assert [path.name for path in file.parent.iterdir()] == ["ä.ipynb"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"3", b"{}", b'{"nbformat": 4}', b'{"nbformat": 4, "nbformat_minor": 5, "cells": [1]}', b"\xff",
     b"[" * 5000, b'{"a":' * 5000, b'{"nbformat": "x"}',
     b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "odd"}]}'],
)  # fmt: skip
def test_a_broken_file_is_named(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "broken.ipynb"
    file.write_bytes(text)
    with pytest.raises(InvalidInput) as caught:
        read_notebook(file)
    assert caught.value.where == str(file)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no notebook gone\.ipynb"):
        read_notebook(tmp_path / "gone.ipynb")


def test_a_notebook_of_format_3_is_upgraded(tmp_path: Path) -> None:
    file = tmp_path / "old.ipynb"
    old = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell("x = 1")])])
    file.write_text(nbformat.v3.writes_json(old))
    assert read_notebook(file).cells[0].source == "x = 1"


PERCENT = """\
# %% [markdown]
# # A title
# %% tags=["parameters"]
x = 1
# %%
# !ls
# %matplotlib inline
print(x)
"""
MARKDOWN = """\
# A title

```python tags=["parameters"]
x = 1
```

Text.

```bash
ls
```
"""
MYST = """\
---
kernelspec:
  name: python3
  display_name: Python 3
---
# A title

```{code-cell} ipython3
:tags: [parameters]
x = 1
```
"""
RMARKDOWN = '---\ntitle: x\n---\n\n```{python tags=c("parameters")}\nx = 1\n```\n'


@pytest.mark.parametrize(
    ("name", "text", "later"),
    [
        ("a b.py", PERCENT, ["!ls\n%matplotlib inline\nprint(x)"]),
        ("ä.md", MARKDOWN, ["%%bash\nls"]),
        ("myst.md", MYST, []),
        ("r.Rmd", RMARKDOWN, []),
    ],
)
def test_a_notebook_as_text_is_read(tmp_path: Path, name: str, text: str, later: list[str]) -> None:
    file = tmp_path / name
    file.write_text(text)
    notebook = read_notebook(file)
    nbformat.validate(notebook)
    tagged = tagged_cell(notebook, PARAMETERS_TAG)
    assert tagged is not None and notebook.cells[tagged].source == "x = 1"
    assert [source for _, source in code_cells(notebook)] == ["x = 1", *later]
    assert "jupytext" not in notebook.metadata  # a copy of it is not paired with the file
    assert file.read_text() == text and list(tmp_path.iterdir()) == [file]


def test_text_that_is_no_notebook_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.md"
    file.write_text("---\nkernelspec: {name: python3}\n---\n```{code-cell}\n1\n```\n")
    with pytest.raises(InvalidInput, match="display_name") as caught:
        read_notebook(file)
    assert caught.value.where == str(file)


def test_text_without_jupytext_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupytext", None)
    (tmp_path / "a.py").write_text(PERCENT)
    with pytest.raises(InvalidInput) as caught:
        read_notebook(tmp_path / "a.py")
    assert caught.value.hint == "pip install mlops-workbench[text]"


CODE = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}


@pytest.mark.parametrize(
    ("minor", "cells", "metadata"),
    [
        (5, [{**CODE, "id": "a"}, {**CODE, "id": "a"}], {}),
        (5, [CODE, {**CODE, "id": "not valid!"}], {}),
        (4, [{**CODE, "id": "a"}], {}),
        (0, [CODE], {}),
        (5, [{"cell_type": "code", "source": "1", "metadata": {}, "id": "a"}], {}),
        (5, [{**CODE, "id": "a", "other": 1, "metadata": {"tags": "parameters"}}], {}),
        (5, [{**CODE, "id": "a"}], {"kernelspec": {"display_name": "R", "language": "R"}}),
        (5, [{**CODE, "id": "a"}], {"kernelspec": {"name": "ir"}}),
    ],
)
def test_what_jupyter_opens_is_read(
    tmp_path: Path, minor: int, cells: list[object], metadata: dict[str, object]
) -> None:
    file = tmp_path / "odd.ipynb"
    text = json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": metadata, "cells": cells})
    file.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notebook = read_notebook(file)
        nbformat.validate(notebook, relax_add_props=True)
    assert [cell.source for cell in notebook.cells] == ["1"] * len(cells)
    assert notebook.nbformat_minor == minor and file.read_text() == text
    assert language(notebook) == ("r" if "display_name" in str(metadata) else "python")
