"""Notebooks on disk."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.notebooks.document import code_cells, kernel_name, language, read_notebook, write_notebook


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
