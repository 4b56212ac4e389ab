"""A model of boosted trees goes from a cell to an endpoint by the commands, without a setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.client.client import Client
from mlops_workbench.client.prediction import request_predictions
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

#: Cells as a shell of IPython runs them.
CELLS = """
import json
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
CELLS = [
    "%load_ext mlops_workbench",
    "import numpy as np, pandas as pd, {library}\\n"
    "X = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=['a', 'b'])\\n"
    "y = (X['a'] > X['b']).astype(int)",
    "%%track boosted\\n{fit}",
    "%mlops register boosted --as trees --alias champion",
    "open('answers.json', 'w').write(json.dumps(np.asarray({answers}).tolist()))",
]
shell.push({{"json": json}})
for cell in CELLS:
    shell.run_cell(cell, store_history=True).raise_error()
"""
FITS = {
    "xgboost": ("model = xgboost.XGBClassifier(n_estimators=5).fit(X, y)", "model.predict(X)"),
    "xgboost, trained": (
        "model = xgboost.train({'max_depth': 3}, xgboost.DMatrix(X, y), 5)",
        "model.predict(xgboost.DMatrix(X))",
    ),
    "lightgbm": ("model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)", "model.predict(X)"),
    "lightgbm, trained": (
        "model = lightgbm.train({'objective': 'binary', 'verbose': -1}, lightgbm.Dataset(X, y), 5)",
        "model.predict(X)",
    ),
    "catboost": (
        "model = catboost.CatBoostClassifier(n_estimators=5, verbose=0, allow_writing_files=False).fit(X, y)",
        "model.predict(X)",
    ),
}


#: The others are tried in `make test-all`: what differs between classes of a library has tests without a notebook.
SHORT = ("xgboost",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in FITS])
def test_what_a_cell_fits_is_registered_deployed_and_answers_as_in_the_notebook(tmp_path: Path, name: str) -> None:
    library = name.partition(",")[0]
    pytest.importorskip(library)
    workspace = Workspace.init(tmp_path)
    environment = {**os.environ}
    environment.pop("MLOPS_WORKSPACE", None)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    fit, answers = FITS[name]
    try:
        said = run("-c", CELLS.format(library=library, fit=fit, answers=answers))
        assert "cannot be deployed" not in said and "cloudpickle" not in said
        run("-m", "mlops_workbench.cli", "deploy", "trees@champion", "--name", "eta")
        with Client.connect(workspace, start=False) as client:
            X = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=["a", "b"])
            found = request_predictions(client.endpoint("eta"), X)
        expected = pd.read_json(tmp_path / "answers.json")[0]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    finally:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
