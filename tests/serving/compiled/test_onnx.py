"""Models answered by ONNX Runtime: only if their answers are proven, whatever the libraries make of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from model_folders import Endpoint
from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.runtimes import proof

pytest.importorskip("skl2onnx")
pytest.importorskip("onnxruntime")

_RANDOM = np.random.default_rng(0)
_ROWS = 300
ARRAY = _RANDOM.normal(size=(_ROWS, 4))
GAPS = np.where(_RANDOM.random(ARRAY.shape) < 0.2, np.nan, ARRAY)
FRAME = pd.DataFrame(ARRAY, columns=["a", "b", "c", "d"]).assign(
    kind=_RANDOM.choice(["x", "yy", "zzz"], _ROWS), n=_RANDOM.integers(0, 9, _ROWS)
)
NUMBER = ARRAY @ [2.0, -1.0, 0.5, 0.0] + 0.1 * _RANDOM.normal(size=_ROWS)
CLASS = np.where(NUMBER > 0, "late", "on time")
TEXTS = pd.Series([" ".join(_RANDOM.choice(["good", "bad", "late", "flight"], 4)) for _ in range(_ROWS)], name="text")
_columns = ColumnTransformer(
    [
        ("numbers", preprocessing.StandardScaler(), ["a", "b", "n"]),
        ("words", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
    ]
)

#: Models, their rows, their targets, and what must answer; empty where that depends on the versions of the libraries.
CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "vector machine": (svm.SVC(probability=False), ARRAY, CLASS, ""),
    "neighbors": (neighbors.KNeighborsRegressor(), ARRAY, NUMBER, ""),
    "bayes": (naive_bayes.GaussianNB(), ARRAY, CLASS, ""),
    "votes": (
        ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))], voting="soft"
        ),
        ARRAY,
        CLASS,
        "",
    ),
    "network": (
        neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0),
        ARRAY,
        NUMBER,
        "sklearn-onnx",
    ),
    "linear": (linear_model.LogisticRegression(), ARRAY, CLASS, "sklearn-onnx"),
    "columns": (pipeline.make_pipeline(_columns, linear_model.LogisticRegression()), FRAME, CLASS, "sklearn-onnx"),
    "texts": (pipeline.make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression()), TEXTS, CLASS, ""),
    # Known to differ: routes of missing values, values rounded before a threshold, versions that do not fit.
    "tree with gaps": (tree.DecisionTreeRegressor(max_depth=6), GAPS, NUMBER, ""),
    "forest with gaps": (ensemble.RandomForestClassifier(8, random_state=0), GAPS, CLASS, ""),
    "scaled tree": (
        pipeline.make_pipeline(preprocessing.StandardScaler(), tree.DecisionTreeRegressor(random_state=0)),
        ARRAY,
        NUMBER,
        "",
    ),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0), ARRAY, CLASS, ""),
    "histogram boosting": (ensemble.HistGradientBoostingClassifier(max_iter=10), GAPS, CLASS, ""),
}


def served(serve, folder: Path, case: str, runtime: str) -> tuple[Any, Endpoint]:
    model, X, y, _ = CASES[case]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        model.fit(X, y)
        record = save_fitted(Workspace.init(folder / "w"), folder / "m", model, X, y)
    assert not record.problem
    return model, serve(folder / "m", settings=ServingSettings(log_seconds=0.2, runtime=runtime))


@pytest.mark.some(2)
@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_those_of_the_model_whatever_answers(serve, tmp_path: Path, case: str) -> None:
    _, X, _, platform = CASES[case]
    model, endpoint = served(serve, tmp_path, case, "onnx")
    runtime = endpoint.service.router.find().runtime
    assert (runtime.program is None) is bool(runtime.uncompiled)
    assert runtime.platform in (platform or "sklearn", "sklearn-onnx"), runtime.uncompiled
    rows = X[:40] if isinstance(X, np.ndarray) else X.iloc[:40]
    if isinstance(X, np.ndarray):
        sent: dict[str, Any] = {"inputs": [[None if v != v else v for v in row] for row in rows.tolist()]}
    elif isinstance(X, pd.Series):
        sent = {"inputs": rows.tolist()}
    else:
        sent = {"dataframe_split": rows.to_dict(orient="split")}
    for body, expected in ((sent, model.predict(rows)), (_first(sent), model.predict(rows[:1]))):
        answer = endpoint.invoke(body)
        assert answer.status_code == 200, answer.text
        found = np.array(answer.json()["predictions"])
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)


def _first(body: dict[str, Any]) -> dict[str, Any]:
    if "inputs" in body:
        return {"inputs": body["inputs"][:1]}
    return {"dataframe_split": body["dataframe_split"] | {"data": body["dataframe_split"]["data"][:1], "index": [0]}}


def test_it_answers_what_has_no_compiled_form_by_itself(serve, tmp_path: Path) -> None:
    _, endpoint = served(serve, tmp_path, "texts", "auto")
    runtime = endpoint.service.router.find().runtime
    assert runtime.platform == "sklearn-onnx" or "with ONNX" in runtime.uncompiled
    _, endpoint = served(serve, tmp_path / "linear", "linear", "auto")
    assert endpoint.service.router.find().runtime.platform == "sklearn-compiled"


def test_a_word_or_a_value_that_the_graph_does_not_take_goes_to_the_model(serve, tmp_path: Path) -> None:
    model, endpoint = served(serve, tmp_path, "columns", "onnx")
    rows = FRAME.iloc[:3].assign(kind=["new", "x", "yy"])
    answer = endpoint.invoke({"dataframe_split": rows.to_dict(orient="split")})
    np.testing.assert_array_equal(np.array(answer.json()["predictions"]), model.predict(rows))


def test_a_graph_with_another_answer_is_not_used(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = proof.onnx_program

    class Wrong:
        kind = "onnx"

        def __init__(self, program: Any) -> None:
            self._program = program

        def answers(self, rows: Any, outputs: Any) -> Any:
            found = self._program.answers(rows, outputs)
            return found | {"predict_proba": found["predict_proba"] + 2e-5} if "predict_proba" in found else found

    monkeypatch.setattr(proof, "onnx_program", lambda *arguments: Wrong(make(*arguments)))
    _, endpoint = served(serve, tmp_path, "linear", "onnx")
    runtime = endpoint.service.router.find().runtime
    assert (runtime.platform, runtime.program) == ("sklearn", None)
    assert "gives other answers" in runtime.uncompiled


def test_without_the_libraries_the_reason_says_what_to_install(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_workbench.serving.runtimes import onnx

    monkeypatch.setattr(onnx, "missing_libraries", lambda: ["onnxruntime"])
    _, endpoint = served(serve, tmp_path, "linear", "onnx")
    runtime = endpoint.service.router.find().runtime
    assert runtime.platform == "sklearn"
    assert "pip install 'mlops-workbench[onnx]'" in runtime.uncompiled
