"""Names whose value a notebook expects from outside."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.notebooks.names.used import used_names
from mlops_workbench.notebooks.source import cell_tree


def used(*cells: str) -> set[str]:
    found = used_names([cell_tree(cell, TransformerManager().transform_cell) for cell in cells])
    return set(found) & {"a", "b", "c", "train", "path"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["frame = read(train)"], {"train"}),
        (["train = 'x.csv'", "frame = read(train)"], set()),
        (["frame = read(train)", "train = 'x.csv'"], {"train"}),
        (["if missing:\n    a = 1\nprint(a)"], {"a"}),
        (["def fit():\n    return read(train)", "fit()"], {"train"}),
        (["def fit():\n    return read(train)", "train = 1", "fit()"], set()),
        (["def fit(train):\n    return train"], set()),
        (["class A:\n    def fit(self):\n        return train"], {"train"}),
        (["[a for a in b]"], {"b"}),
        (["for a in b:\n    print(a)"], {"b"}),
        (["try:\n    a\nexcept NameError:\n    a = 1"], {"a"}),
        (["load('train')", "save('path', 1)"], {"train", "path"}),
        (["wb.load(name='train')"], {"train"}),
        (["load('some/train')", "other('train')"], set()),
        (["%matplotlib inline\nprint(a)"], {"a"}),
        (["%%time\nprint(a)"], {"a"}),
        (["%%track\nprint(a)"], {"a"}),
        (["!cat {path} $b"], {"path", "b"}),
        (["%%bash\ncat a"], set()),
        (["this is not python", "print(a)"], {"a"}),
        (["import a", "a.b()"], set()),
        (["a = 1\ndel a", "print(a)"], {"a"}),
    ],
)
def test_a_name_is_used_when_nothing_before_has_assigned_it(cells: list[str], expected: set[str]) -> None:
    assert used(*cells) == expected
