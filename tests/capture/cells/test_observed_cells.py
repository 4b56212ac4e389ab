"""What is observed of cells in a real kernel: searches, folds, displays, tables, models fitted by themselves."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel, Records

from mlops_workbench.core.records import Artifact, Dataset, Metrics, Params, RunStart, Tags
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

SETUP = """
import warnings
import numpy as np, pandas as pd
import matplotlib.pyplot as plt
from IPython.display import display
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from mlops_workbench import log, log_figure, log_table, track
chance = np.random.default_rng(0)
df = pd.DataFrame({"a": chance.normal(size=120), "b": chance.normal(size=120), "kind": ["x", "y", "z"] * 40})
df["target"] = (df["a"] + df["b"] > 0).astype(int)
X, y = df[["a", "b"]], df["target"]
X_train, X_test, y_train, y_test = X[:80], X[80:], y[:80], y[80:]
"""


@pytest.fixture(scope="module", autouse=True)
def prepared(kernel):
    kernel.run(SETUP)


def track(kernel, name, source, **options):
    """Run a tracked cell, and another one, before which everything that waited is done."""
    outputs = kernel.run(f"%%track {name}\n{source}", **options)
    kernel.run("pass")
    return outputs


def tags(kernel, run):
    return {**kernel.records.start(run).tags, **kernel.records.values(Tags, run)}


def artifacts(kernel, run):
    """Figures and tables of a run by path."""
    return {found.path: found for found in kernel.records.of(Artifact, run) if found.kind in ("figure", "table")}


def table(kernel, run, path):
    return json.loads(kernel.records.blob(artifacts(kernel, run)[path].digest))


def history(kernel, run, name):
    records = [record for record in kernel.records.of(Metrics, run) if name in record.values]
    return [(record.step, record.values[name]) for record in records]


def test_a_search_is_a_run_with_a_child_for_each_candidate(kernel):
    track(
        kernel,
        "searched",
        "search = GridSearchCV(LogisticRegression(), {'C': [0.1, 1.0], 'solver': ['lbfgs', 'liblinear']}, cv=3)\n"
        "search.fit(X_train, y_train)\nkernel_view = search.cv_results_, search.best_params_, search.best_score_",
    )
    records = kernel.records
    parent = records.start("searched")
    end = records.end("searched")
    children = [start for start in records.of(RunStart) if start.parent_uid == parent.run_uid]
    assert [child.name for child in children] == [f"searched/{i}" for i in (1, 2, 3, 4)]
    settings = [records.values(Params, child.run_uid) for child in children]
    assert settings[0] == {"C": 0.1, "solver": "lbfgs"} and settings[3] == {"C": 1.0, "solver": "liblinear"}
    for child in children:
        child_end = records.end(child.run_uid)
        assert parent.start_ms <= child.start_ms <= child_end.end_ms <= end.end_ms
        values = records.values(Metrics, child.run_uid)
        assert {"mean_test_score", "std_test_score", "mean_fit_time", "rank_test_score"} <= set(values)
        folds = history(kernel, child.run_uid, "test_score")
        assert [step for step, _ in folds] == [0, 1, 2]
        assert sum(value for _, value in folds) / 3 == pytest.approx(values["mean_test_score"])
    params = records.values(Params, "searched")
    assert params["best__C"] in (0.1, 1.0) and params["estimator"] == "GridSearchCV(LogisticRegression)"
    metrics = records.values(Metrics, "searched")
    means = [records.values(Metrics, child.run_uid)["mean_test_score"] for child in children]
    assert metrics["best_score"] == max(means) and metrics["candidates"] == 4
    found = table(kernel, "searched", "cv_results.json")
    assert len(found["data"]) == 4 and "mean_test_score" in found["columns"]
    assert tags(kernel, children[0].run_uid)["mlops.times"] == "estimated"


def test_only_the_best_of_many_candidates_are_runs_and_the_table_has_all(kernel):
    track(
        kernel,
        "many",
        "search = GridSearchCV(Ridge(), {'alpha': list(np.linspace(0.1, 5, 510))}, cv=2).fit(X_train, y_train)",
    )
    parent = kernel.records.start("many")
    children = [start for start in kernel.records.of(RunStart) if start.parent_uid == parent.run_uid]
    assert len(children) == 500 and "500 of 510" in tags(kernel, "many")["mlops.search.candidates"]
    assert len(table(kernel, "many", "cv_results.json")["data"]) == 510


def test_folds_reports_and_matrices_are_kept_each_in_its_form(kernel):
    track(
        kernel,
        "measured",
        """model = LogisticRegression().fit(X_train, y_train)
scores = cross_val_score(LogisticRegression(), X, y, cv=4)
prediction = model.predict(X_test)
report = classification_report(y_test, prediction, output_dict=True)
matrix = confusion_matrix(y_test, prediction)
def evaluate(model, X, y):
    found = model.predict(X)
    return {"accuracy": accuracy_score(y, found), "rows": len(X)}
both = evaluate(model, X_test, y_test)
print(f1_score(y_test, prediction))""",
    )
    metrics = kernel.records.values(Metrics, "measured")
    folds = history(kernel, "measured", "scores_fold")
    assert [step for step, _ in folds] == [0, 1, 2, 3]
    assert metrics["scores"] == pytest.approx(sum(value for _, value in folds) / 4)
    assert metrics["report/weighted avg/f1-score"] and metrics["both/accuracy"] == metrics["report/accuracy"]
    assert "both/rows" not in metrics and "f1" not in metrics and not any(name.startswith("matrix") for name in metrics)
    found = table(kernel, "measured", "matrix.json")
    assert found["columns"] == ["0", "1"] and sum(map(sum, found["data"])) == 40
    data = {found.name: found.context for found in kernel.records.of(Dataset, "measured")}
    assert data["X_train"] == "training" and data["X_test"] == "test" and data["X"] == "cross-validation"


def test_pipelines_keep_their_structure_and_defaults_are_apart(kernel):
    track(
        kernel,
        "piped",
        """prepare = make_column_transformer((StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["kind"]))
pipe = make_pipeline(prepare, LogisticRegression(C=0.5))
pipe.fit(df.drop(columns="target"), df["target"])""",
    )
    by_origin = {}
    for record in kernel.records.of(Params, "piped"):
        by_origin.setdefault(record.origin, {}).update(record.values)
    chosen = by_origin["observed"]
    assert chosen["steps"] == ["columntransformer", "logisticregression"] and chosen["logisticregression__C"] == 0.5
    assert chosen["columntransformer__standardscaler__columns"] == ["a", "b"]
    assert "logisticregression__max_iter" in by_origin["default"] and "logisticregression__max_iter" not in chosen
    assert "onehotencoder: OneHotEncoder ['kind']" in tags(kernel, "piped")["mlops.structure"]


def test_figures_are_caught_however_they_are_shown_and_kept_once(kernel):
    track(kernel, "flushed", "plt.plot([1, 2, 3])\nNone")
    assert list(artifacts(kernel, "flushed")) == ["figure.png"]
    track(kernel, "last", "fig, ax = plt.subplots(); ax.plot([3, 1]); plt.close(fig)\nfig")
    assert list(artifacts(kernel, "last")) == ["figure.png"]
    track(kernel, "both", "fig, ax = plt.subplots()\nax.plot([1, 3])\nlog_figure(fig, 'curve.png')\nplt.show()")
    assert list(artifacts(kernel, "both")) == ["curve.png"]
    track(kernel, "later", "plt.plot([5, 3]); fig = plt.gcf()\nplt.show()\nlog_figure(fig, 'later.png')")
    assert list(artifacts(kernel, "later")) == ["later.png"]
    source = "import plotly.graph_objects as go\nfig = go.Figure(go.Scatter(y=[1, 2]))\nlog_figure(fig, 'p')\nfig"
    track(kernel, "plotly", source)
    assert sorted(artifacts(kernel, "plotly")) == ["p.html", "p.plotly.json"]
    assert len(artifacts(kernel, "plotly")) == 2


def test_tables_that_a_cell_shows_are_kept_with_their_values(kernel):
    outputs = track(kernel, "tables", "display(df.head(3))\ndisplay(df)\ndf.describe()")
    first = table(kernel, "tables", "table.json")
    assert first["columns"] == ["a", "b", "kind", "target"] and len(first["data"]) == 3
    assert len(table(kernel, "tables", "table-2.json")["data"]) == 120
    assert table(kernel, "tables", "table-3.json")["columns"] == ["index", "a", "b", "target"]
    plain = kernel.run("display(df.head(3))\ndisplay(df)\ndf.describe()")
    shown = [o["data"]["text/plain"] for o in outputs if "data" in o]
    assert shown[:3] == [o["data"]["text/plain"] for o in plain], "what is shown is as without tracking"
    track(kernel, "long", "pd.DataFrame({'n': range(5000)})")
    assert len(table(kernel, "long", "table.json")["data"]) == 1000
    assert tags(kernel, "long")["mlops.table.table.json"] == "the first 1,000 of 5,000 rows"


def test_what_the_workbench_shows_is_marked_and_not_the_cells(kernel):
    outputs = track(kernel, "marked", "1")
    marked = [o for o in outputs if "mlops_workbench" in o.get("metadata", {})]
    assert "run marked" in marked[-1]["data"]["text/plain"] and artifacts(kernel, "marked") == {}
    assert [o["output_type"] for o in outputs if o not in marked] == ["execute_result"]


def test_warnings_are_counted(kernel):
    track(
        kernel, "warned", "for i in range(2):\n    warnings.warn(f'careful {i}')\nwarnings.warn('odd', FutureWarning)"
    )
    assert tags(kernel, "warned")["mlops.warnings"].splitlines() == [
        "1 x UserWarning: careful 0",
        "1 x UserWarning: careful 1",
        "1 x FutureWarning: odd",
    ]


def test_cells_that_fit_a_model_become_runs_by_themselves(kernel):
    try:
        kernel.run("%load_ext mlops_workbench\n%mlops autotrack on")
        kernel.run(
            "forest = RandomForestClassifier(3).fit(X_train, y_train)\nacc = forest.score(X_test, y_test)\nlog(own=1)"
        )
        assert kernel.records.values(Metrics, "RandomForestClassifier").keys() >= {"acc", "own"}
        kernel.run("forest = RandomForestClassifier(4).fit(X_train, y_train)")
        second = kernel.records.of(RunStart)[-1]
        assert second.name == f"RandomForestClassifier-{second.run_uid[-6:]}"
        count = len(kernel.records.of(RunStart))
        kernel.run("scaled = StandardScaler().fit_transform(X_train)")
        kernel.run("with track('own block'):\n    forest.fit(X_train, y_train)")
        kernel.run("%%track named\nforest.fit(X_train, y_train)")
        assert [start.name for start in kernel.records.of(RunStart)[count:]] == ["own block", "named"]
        kernel.run("%%track failing\nforest.fit(X_train, y_train[:3])", fails=True)
        kernel.run("%mlops autotrack off")
        kernel.run("forest.fit(X_train, y_train)")
        assert kernel.records.of(RunStart)[-1].name == "failing"
    finally:
        kernel.run("%mlops autotrack off")


@pytest.mark.parametrize(
    ("name", "source", "fails"),
    [
        ("bash", "%%bash\necho hello", False),
        ("html", "%%html\n<b>bold</b>", False),
        ("comment", "# nothing\n", False),
        ("syntax", "def f(:\n  pass", True),
        ("generator", "def forever():\n    while True:\n        yield 1\nendless = forever()\nendless", False),
        ("recursive", "loop = []\nloop.append(loop)\ndeep = {}\ndeep['self'] = deep\nloop", False),
        ("hostile", "class Odd:\n    def __getattr__(self, name): raise RuntimeError(name)\nodd = Odd()\nx = 1", False),
        (
            "answers-to-all",
            "class Odd:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
            "    def __call__(self, *args): return 1\n"
            "odd = Odd()\nx = odd(1)\ny2 = odd.fit(1) if False else 2\nodd",
            False,
        ),
        ("huge", "text = 'x' * 10_000_000\nnumbers = list(range(100_000))\nlen(text)", False),
    ],
)
def test_odd_cells_stay_unharmed(kernel, name, source, fails):
    outputs = track(kernel, f"odd-{name}", source, fails=fails)
    plain = kernel.run(source, fails=fails)
    kinds = [o["output_type"] for o in outputs if "mlops_workbench" not in o.get("metadata", {})]
    assert kinds == [o["output_type"] for o in plain]
    assert "could not be observed" not in "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    if name != "syntax":  # no line of it was reached, not the one that tracks either
        assert kernel.records.end(f"odd-{name}").status == "FINISHED"


def test_by_setting_fits_are_runs_and_what_waits_is_recorded_when_the_kernel_ends_at_once(tmp_path):
    root = Workspace.init(tmp_path / "kürzer").root
    short = Kernel(root, MLOPS_CAPTURE_AUTOTRACK="true")
    try:
        short.run(SETUP)
        short.run(
            "search = GridSearchCV(Ridge(), {'alpha': [1, 2]}, cv=2).fit(X, y)\n"
            "plt.plot([1, 2]); plt.show()\ndisplay(df)"
        )
    finally:
        short.close()
    records = Records(root)
    children = [start for start in records.of(RunStart) if start.parent_uid == records.start("GridSearchCV").run_uid]
    assert len(children) == 2
    assert {"figure.png", "table.json", "cv_results.json"} <= {one.path for one in records.of(Artifact, "GridSearchCV")}
