"""What a notebook imports is read from its code."""

from __future__ import annotations

from mlops_workbench.pipelines.kernels.preload import imports_of


def test_top_level_imports_are_found_in_order_with_their_names() -> None:
    cells = [
        "import pandas as pd, numpy\nfrom sklearn.ensemble import RandomForestRegressor as Forest",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\n!pip list",
        "%%time\nfrom sklearn.ensemble import GradientBoostingRegressor\nfrom os import *",
    ]
    assert imports_of(cells) == [
        ("pandas", ()), ("numpy", ()),
        ("sklearn.ensemble", ("RandomForestRegressor", "GradientBoostingRegressor")),
        ("matplotlib.pyplot", ()), ("os", ()),
    ]  # fmt: skip


def test_imports_that_may_not_happen_are_left_out() -> None:
    cells = [
        "def f():\n    import torch",
        "try:\n    import cudf\nexcept ImportError:\n    pass",
        "if False:\n    import xgboost",
        "from . import local\nfrom .local import x",
        "%%bash\nimport nothing",
        "not python at all (",
        "",
    ]
    assert imports_of(cells) == []
