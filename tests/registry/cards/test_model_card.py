"""A card says what the files and the run say, and no value of a hidden column."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fitted_models import save_fitted
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from mlops_workbench.core.manifest import MANIFEST
from mlops_workbench.core.model_card import IMPORTANCE_FILE, ModelCard
from mlops_workbench.core.models import ModelVersion, SignatureColumn
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.cards.card import VersionFacts, build_card
from mlops_workbench.registry.cards.document import card_json
from mlops_workbench.registry.cards.version_files import VersionFiles, read_version_files

ROWS = 200


def data() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": [float(i % 50) for i in range(ROWS)],
            "colour": pd.Categorical([("red", "blue")[i % 2] for i in range(ROWS)]),
            "home_town": pd.Categorical([("Ghent", "Lille", "Namur")[i % 3] for i in range(ROWS)]),
            "api_key": [f"sk-live-{i:024d}" for i in range(ROWS)],
        }
    )


def version(**more: object) -> ModelVersion:
    return ModelVersion("m", 1, "r", "r", [], 0, **more)  # type: ignore[arg-type]


def card_of(files: VersionFiles, personal: tuple[str, ...] = ()) -> ModelCard:
    return build_card(VersionFacts(version(), "d", files, personal=personal))


def test_values_of_personal_columns_and_of_secrets_are_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    X = data()
    model = HistGradientBoostingRegressor(max_iter=3, categorical_features="from_dtype").fit(X.iloc[:, :3], X["size"])
    save_fitted(workspace, tmp_path / "m", model, X.iloc[:, :3], X["size"])
    files = read_version_files(tmp_path / "m")
    known = card_of(files)
    assert "Ghent" in card_json(known) and known.slices is not None
    assert {part.column for part in known.slices.slices} == {"colour", "home_town"}

    # A column that was declared personal after the model was saved.
    card = card_of(files, ("*town*",))
    assert "Ghent" not in card_json(card) and "red" in card_json(card)
    assert [(column.name, column.hidden) for column in card.inputs] == [
        ("size", False), ("colour", False), ("home_town", True),
    ]  # fmt: skip
    assert card.slices is not None and {part.column for part in card.slices.slices} == {"colour"}


def test_classes_of_a_personal_target_are_hidden(workspace: Workspace, tmp_path: Path) -> None:
    X = data()[["size"]]
    y = pd.Series([("Ghent", "Lille")[i % 50 > 25] for i in range(ROWS)], name="home_town")
    save_fitted(workspace, tmp_path / "m", HistGradientBoostingClassifier(max_iter=3).fit(X, y), X, y)
    files = read_version_files(tmp_path / "m")
    assert card_of(files).classes == ["Ghent", "Lille"]
    card = card_of(files, ("*town*",))
    assert "Ghent" not in card_json(card) and len(card.classes) == 2 and card.task == "classification"


def test_the_task_is_what_the_answers_are(workspace: Workspace, tmp_path: Path) -> None:
    X, y = data()[["size"]], data()["size"]
    models = {
        "regression": HistGradientBoostingRegressor(max_iter=3).fit(X, y),
        "classification": HistGradientBoostingClassifier(max_iter=3).fit(X, y > 20),
        "other": KMeans(2, n_init=1).fit(X, y),
    }
    for task, model in models.items():
        target = y > 20 if task == "classification" else y
        save_fitted(workspace, tmp_path / task, model, X, target)
        card = card_of(read_version_files(tmp_path / task))
        assert card.task == task
        assert (card.importance is None) == (task == "other")


def test_a_model_of_mlflow_code_has_what_its_signature_says() -> None:
    known = version(inputs=[SignatureColumn("a", "double", False)], outputs=[SignatureColumn("", "double")],
                    metrics={"mae": "NaN"})  # fmt: skip
    card = build_card(VersionFacts(known, "d", notes=["the run that logged it is not known here"]))
    assert (card.task, card.importance, card.slices, card.golden) == ("unknown", None, None, {})
    assert [(column.name, column.type, column.required) for column in card.inputs] == [("a", "double", False)]
    assert card.metrics == {"mae": "NaN"} and card.notes == ["the run that logged it is not known here"]
    assert card.lineage.run_uid == "r"


@pytest.mark.parametrize("file", ["schema.json", "golden.parquet", "reference.parquet", "importance.json"])
def test_a_damaged_file_is_named_and_the_rest_is_shown(workspace: Workspace, tmp_path: Path, file: str) -> None:
    X, y = data()[["size", "colour"]], data()["size"]
    model = HistGradientBoostingRegressor(max_iter=3, categorical_features="from_dtype").fit(X, y)
    record = save_fitted(workspace, tmp_path / "m", model, X, y)
    assert IMPORTANCE_FILE in record.files and IMPORTANCE_FILE in (tmp_path / "m" / MANIFEST).read_text()
    whole = card_of(read_version_files(tmp_path / "m"))
    assert whole.notes == [] and whole.importance and whole.slices and whole.golden and whole.software
    (tmp_path / "m" / "mlops" / file).write_bytes(b"{not a file")
    card = card_of(read_version_files(tmp_path / "m"))
    assert len(card.notes) == 1 and file in card.notes[0]
    assert card.software == whole.software
