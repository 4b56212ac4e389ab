"""The notebook of a run's upstream executions runs from the top and gives the run's metrics."""

from __future__ import annotations

import os
import shutil

import nbformat
import pytest
from kernels import Kernel, Records, until
from nbclient import NotebookClient

from mlops_workbench.core.records import Artifact, Metrics, Params, RunStart
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


def system(name):
    return name.startswith("system/")


def metrics_of(records, run):
    return {name: value for name, value in records.values(Metrics, run).items() if not system(name)}


def executed_cells(kernel, run):
    kernel.run("pass")
    artifacts = until(
        lambda: [one for one in kernel.records.of(Artifact, run) if one.path == "executed_cells.ipynb"],
        "the notebook of executed cells",
    )
    return nbformat.reads(kernel.records.blob(artifacts[-1].digest).decode(), as_version=4)


def run_again(notebook, folder, monkeypatch):
    """Run a notebook in a kernel and a workspace of its own, without the extension until it loads it."""
    Workspace.init(folder)
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(folder))
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return Records(folder)


SESSION = [
    "import numpy as np, pandas as pd\nimport sklearn",
    "%matplotlib inline\nimport matplotlib.pyplot as plt",
    "from sklearn.linear_model import LinearRegression, Ridge\nfrom sklearn.metrics import mean_absolute_error\n"
    "from sklearn.preprocessing import StandardScaler\nfrom mlops_workbench import track",
    "sklearn.set_config(transform_output='pandas')",
    "np.random.seed(1)",
    "np.random.seed(3)",
    "df = pd.DataFrame(np.random.rand(60, 3), columns=list('abc'))\ndf['y'] = df['a'] * 2 + np.random.rand(60)",
    "df.describe()",
    "df.hist()\nplt.show()",
    "pd.set_option('display.max_rows', 20)",
    "scaler = StandardScaler()\nX = scaler.fit_transform(df[['a', 'b', 'c']])",
    "!scaler.fit(X_typo)",
    "rate = 3.0",
    "factor = rate * 2",
    "!model = Ridge(alpha=rate)\nmodel.fit(X, typo)",
    "rate = 4.0",
    # It failed, and what it had done by then is used.
    "!X['d'] = X['a'] ** 2\n1 / 0",
    "other = pd.DataFrame({'q': [1, 2, 3]})\nother['q'].plot()",
    "other.to_csv('other.csv')\npd.read_csv('other.csv').shape",
    "%ls",
    "def evaluate(model, data):\n    return mean_absolute_error(df['y'], model.predict(data)) * rate",
    "!evaluate(None, X)",
    "def evaluate(model, data):\n    return mean_absolute_error(df['y'], model.predict(data)) * factor + len(notes)",
    "notes = []",
    "notes.append('first')",
    "%%writefile own_helpers.py\ndef half(value):\n    return value / 2",
    "from own_helpers import half",
    "noise = np.random.rand()",
]
CELLS = {
    "final": "%%track final\nmodel = Ridge(alpha=rate).fit(X, df['y'])\nmae = evaluate(model, X) + half(noise)",
    "drawn": "%%track drawn\nchosen = np.random.permutation(60)[:30]\n"
    "model = Ridge().fit(X.iloc[chosen], df['y'].iloc[chosen])\nscore = model.score(X, df['y'])",
    "nested": "%%track nested\nerrors = []\nfor kind in (LinearRegression, Ridge):\n"
    "    with track(f'child {kind.__name__}'):\n"
    "        model = kind().fit(X, df['y'])\n        mae = evaluate(model, X)\n        errors.append(mae)",
}
LATER = ["rate = 0", "X['a'] = 0", "notes.append('last')", "df['y'] = 1"]
UNRELATED = ("describe", "hist", "set_option", "typo", "rate = 3.0\nx", "other", "%ls", "seed(1)", "matplotlib")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    root = tmp_path_factory.mktemp("executed")
    Workspace.init(root)
    started = Kernel(root)
    for cell in SESSION:
        started.run(cell.removeprefix("!"), fails=cell.startswith("!"))
    for cell in (*CELLS.values(), *LATER):
        started.run(cell)
    yield started
    started.close()


@pytest.mark.some(2)
@pytest.mark.parametrize("name", CELLS)
def test_the_executed_cells_run_from_the_top_and_give_the_metrics_of_the_run(kernel, name, tmp_path, monkeypatch):
    notebook = executed_cells(kernel, name)
    sources = [cell.source for cell in notebook.cells]
    assert sources[0] == "%load_ext mlops_workbench" and sources[-1] == CELLS[name]
    assert not [source for source in sources for part in UNRELATED if part in source]
    assert not set(sources) & {*LATER, *(other for other in CELLS.values() if other != CELLS[name])}
    failed = [cell.source for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", [])]
    assert failed == ["X['d'] = X['a'] ** 2\n1 / 0"]
    again = run_again(notebook, tmp_path, monkeypatch)
    runs = [start.name for start in again.of(RunStart)]
    assert runs == [name, *(["child LinearRegression", "child Ridge"] if name == "nested" else [])]
    for run in runs:
        assert metrics_of(again, run) == metrics_of(kernel.records, run) != {}
        assert again.values(Params, run) == kernel.records.values(Params, run)


@pytest.mark.long
def test_cells_that_set_the_experiment_and_load_the_extension_are_used_once(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    Workspace.init(first)
    kernel = Kernel(first)
    try:
        for cell in (
            "%load_ext mlops_workbench\nimport math",
            "%mlops autotrack off",
            "%mlops autotrack on",
            "from sklearn.linear_model import Ridge\nfrom sklearn.metrics import mean_absolute_error",
            "X, y = [[float(i)] for i in range(9)], [math.sqrt(i) for i in range(9)]",
            "model = Ridge().fit(X, y)\nmae = mean_absolute_error(y, model.predict(X))",
            "%%track own\nmodel = Ridge(alpha=2).fit(X, y)\nmae = mean_absolute_error(y, model.predict(X))",
        ):
            kernel.run(cell)
        notebook = executed_cells(kernel, "Ridge")
        sources = [cell.source for cell in notebook.cells]
        assert [source for source in sources if source.startswith("%")] == [
            "%load_ext mlops_workbench\nimport math",
            "%mlops autotrack on",
        ]
        assert metrics_of(run_again(notebook, second, monkeypatch), "Ridge") == metrics_of(kernel.records, "Ridge")
        own = executed_cells(kernel, "own")
        assert not [cell for cell in own.cells if "autotrack" in cell.source], "the run does not need it"
    finally:
        kernel.close()
        shutil.rmtree(first, ignore_errors=True)
