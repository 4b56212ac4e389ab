"""A version beside the champion: by name, by the same classes, and not by too few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.core.model_gates import ChampionGate
from mlops_workbench.core.model_schema import InputSpec, ModelSchema
from mlops_workbench.data.fitted.describe import describe_inputs
from mlops_workbench.data.fitted.evaluation import EvaluationRows, evaluation_rows, for_columns
from mlops_workbench.data.tables.columns import columns_of
from mlops_workbench.registry.champion import compare

ROWS = 400
CHANCE = np.random.default_rng(0)


def compared(metric: str, truth: list[Any], mine: dict[str, Any], theirs: dict[str, Any], **options: Any) -> Any:
    classes = options.pop("classes", [])
    champion = options.pop("champion", classes)
    slices = options.pop("columns", {})
    schema = ModelSchema("frame", [InputSpec(name, "string", "str") for name in slices], classes=classes)
    columns = {name: np.array(values, dtype=object) for name, values in slices.items()}
    rows = EvaluationRows(columns, pa.array(truth), {name: pa.array(values) for name, values in mine.items()})
    gate = ChampionGate(metric, options.pop("margin", 0.02), slices=list(slices), **options)
    return compare(gate, metric, schema, rows, pa.table(theirs), champion, 3)


def test_test_data_is_matched_by_the_names_of_its_columns() -> None:
    train = pd.DataFrame({"a": CHANCE.normal(size=90), "b": CHANCE.normal(size=90) * 100})
    model = make_pipeline(make_column_transformer(("passthrough", ["a", "b"])), LinearRegression())
    model.fit(train, train.a * 3)
    schema = describe_inputs(train, columns_of(train), lambda *_: False)

    def answer(rows: Any) -> dict[str, Any]:
        return {"predict": np.asarray(model.predict(rows))}

    test = train[["b", "a"]].assign(more=1).iloc[:40]
    found = evaluation_rows(schema, test, test.a * 3, answer)
    np.testing.assert_allclose(found.answers["predict"].to_numpy(), test.a * 3, atol=1e-9)
    with pytest.raises(ValueError, match="no column 'b'"):
        evaluation_rows(schema, test[["a"]], test.a, answer)
    with pytest.raises(ValueError, match="no column 'z'"):
        for_columns(found, [("z", "double", np.dtype(float))])


def test_probabilities_are_compared_for_the_same_classes_only() -> None:
    truth = ["a", "c"] * (ROWS // 2)
    good = np.where(np.array(truth) == "a", 0.9, 0.1)
    mine = {"predict": truth, "predict_proba:0": good, "predict_proba:1": 1 - good}
    theirs = {**mine, "predict_proba:1": np.zeros(ROWS), "predict_proba:2": 1 - good}
    with pytest.raises(ValueError, match="other classes"):
        compared("log_loss", truth, mine, theirs, classes=["a", "c"], champion=["a", "b", "c"])
    (check,) = compared("log_loss", truth, mine, mine, classes=["a", "c"])
    assert check.passed


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier", "accuracy"])
def test_labels_of_another_type_are_the_same_labels(metric) -> None:
    truth = [0.0, 1.0] * (ROWS // 2)
    good = np.array(truth) * 0.8 + 0.1
    mine = {"predict": [int(v) for v in truth], "predict_proba:0": 1 - good, "predict_proba:1": good}
    (check,) = compared(metric, truth, mine, mine, classes=[0, 1])
    assert check.passed and "nan" not in check.detail


def test_a_slice_with_one_row_of_a_class_hides_no_other() -> None:
    places = ["rare"] * 40 + ["usual"] * 360
    truth = [1] + [0] * 39 + [0, 1] * 180
    good = np.array(truth) * 0.8 + 0.1 + CHANCE.normal(size=ROWS) * 0.01
    bad = good.copy()
    bad[40:] = CHANCE.random(360)
    theirs = {"predict": truth, "predict_proba:0": 1 - good, "predict_proba:1": good}
    mine = {"predict": truth, "predict_proba:0": 1 - bad, "predict_proba:1": bad}
    whole, by_place = compared(
        "auc", truth, mine, theirs, classes=[0, 1], columns={"place": places}, margin=1.0, slice_margin=0.05
    )
    assert whole.passed and not by_place.passed
    assert by_place.detail.startswith("usual:") and "nan" not in by_place.detail


def test_what_cannot_be_compared_says_why() -> None:
    numbers = {"predict": [1.0] * 30}
    for metric, truth, mine, message in (
        ("mae", ["x"] * 30, numbers, "the true values are not numbers"),
        ("mae", [None] * 30, numbers, "some of the true values are missing"),
        ("auc", [0, 1] * 15, numbers, "needs the probabilities of two classes"),
        ("mae", [1.0] * 5, {"predict": [1.0] * 5}, "5 rows are too few"),
    ):
        with pytest.raises(ValueError, match=message):
            compared(metric, truth, mine, mine)
