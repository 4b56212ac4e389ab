"""Sources of tagged cells of notebook files."""

from __future__ import annotations

import json

import pytest

from mlops_workbench.notebooks.tagged import tagged_sources


def test_only_code_cells_with_the_tag_count_in_their_order() -> None:
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["model-test"]}, "source": ["a = 1\n", "b = 2"]},
        {"cell_type": "markdown", "metadata": {"tags": ["model-test"]}, "source": "text"},
        {"cell_type": "code", "metadata": {"tags": ["other"]}, "source": "no"},
        {"cell_type": "code", "metadata": {}, "source": "no"},
        {"cell_type": "code", "source": "no"},
        "damaged",
        {"cell_type": "code", "metadata": {"tags": ["x", "model-test"]}, "source": "c = 3"},
    ]
    assert tagged_sources(json.dumps({"cells": cells}).encode(), "model-test") == ["a = 1\nb = 2", "c = 3"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"cells": 5}', b"\xff"])
def test_what_is_no_notebook_is_refused(content) -> None:
    with pytest.raises(ValueError):
        tagged_sources(content, "model-test")
