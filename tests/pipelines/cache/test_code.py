"""The code of a notebook is the same as long as it does the same."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.pipelines.cache.code import environment_names, normal_code

transform = TransformerManager().transform_cell
CELLS = ["import os\nx = 1", "def f(a, b=2):\n    return a + b", "%matplotlib inline\ny = f(x)", "%%bash\necho 1"]


def normal(cells: list[str]) -> list[str]:
    return normal_code(cells, transform)


@pytest.mark.parametrize(
    "same",
    [
        ["import os  # the system\n\n\nx   =   1", *CELLS[1:]],
        ["# title\nimport os; x = 1", *CELLS[1:]],
        [*CELLS[:2], "%matplotlib inline\n\n# why\ny = f( x )", CELLS[3]],
        [CELLS[0], "", "# only a comment", *CELLS[1:]],
        ["import os\nx = (1)", *CELLS[1:]],
    ],
)
def test_comments_and_layout_change_nothing(same: list[str]) -> None:
    assert normal(same) == normal(CELLS)


@pytest.mark.parametrize(
    "other",
    [
        ["import os\nx = 1.0", *CELLS[1:]],
        ["import os\nx = '1'", *CELLS[1:]],
        ["import os\nx = True", *CELLS[1:]],
        [CELLS[0], CELLS[1].replace("b=2", "b=3"), *CELLS[2:]],
        [*CELLS[:3], "%%bash\necho 2"],
        [*CELLS[:2], "%matplotlib agg\ny = f(x)", CELLS[3]],
        CELLS[:3],
        [CELLS[1], CELLS[0], *CELLS[2:]],
        [CELLS[0] + "\n'''text'''", *CELLS[1:]],
    ],
)
def test_other_code_is_other_code(other: list[str]) -> None:
    assert normal(other) != normal(CELLS)


def test_environment_variables_in_the_code_are_found() -> None:
    cells = [
        "import os\na = os.environ['A']",
        "from os import environ, getenv\nb = environ.get('B', '')",
        "c = getenv('C')",
        "d = os.getenv(name)",
        "os.environ.update({})",
    ]
    assert environment_names(cells) == ["A", "B", "C"]
