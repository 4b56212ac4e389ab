"""A card has what is known about a registered version, from the cell to the endpoint, and what a person wrote."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from fitted_models import StoringRecorder
from recorder import Recorder, columns
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.capture.run.models import save_model
from mlops_workbench.client.bodies import DeployRequest, PromoteRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.model_card import CardChange, CardEndpoint, ModelCard
from mlops_workbench.core.records import CellExecuted, Dataset, Metrics, Params, Provenance, Tags
from mlops_workbench.core.tags import GIT_COMMIT, PIPELINE, STAGE
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.data.reference import sample_fit_data

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SOURCE = "model = make_pipeline(prepare, LogisticRegression()).fit(X, y)"
EVIL = '<img src=x onerror="alert(1)">'


def mlops(folder: Path, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def table(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "distance": random.normal(1000, 300, rows),
            "carrier": random.choice(["AA", "UA"], rows),
            EVIL: random.normal(size=rows),
            "contact_email": [f"anna{i % 5}@example.org" for i in range(rows)],
            "departure": pd.date_range("2013-01-01", periods=rows, freq="D"),
        }
    )


@dataclass
class Place:
    workspace: Workspace
    client: Client
    session: Recorder

    def run(self, name: str, strength: float, accuracy: float, digest: str) -> str:
        """A run that saves a model as a kernel does."""
        session = self.session
        uid = session.start(name, notebook="flights.ipynb")
        data = table()
        X, y = data[list(data.columns[:4])], np.where(data.distance > 1000, "late", "in time")
        prepare = ColumnTransformer(
            [("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier", "contact_email"])], remainder="passthrough"
        )
        model = make_pipeline(prepare, LogisticRegression(C=strength, max_iter=2000)).fit(X, y)
        cell = CellExecuted(f"cell of {uid}", 3, "cell-3", SOURCE, now_ms(), 5, "ok", notebook="flights.ipynb")
        session.put(
            cell,
            Provenance(uid, [cell.uid]),
            Params(uid, {"C": strength}),
            Metrics(uid, now_ms(), 0, {"accuracy": accuracy}),
            Tags(uid, {GIT_COMMIT: "c0ffee" * 6 + "c0ff", PIPELINE: "flights", STAGE: "fit"}),
            Dataset(uid, "X", "training", digest, 400, columns(data), profile={
                "missing": {"distance": 3},
                "columns": [{"name": "departure", "kind": "datetime", "min": 1356998400.0, "max": 1391472000.0},
                            {"name": "born_email", "kind": "datetime", "min": 1.0, "max": 2.0}],
            }),
            Dataset(uid, "X_test", "test", "d" * 32, 100, columns(data)),
        )  # fmt: skip
        environment = {
            "python": {"version": "3.12.4"},
            "machine": {"platform": "Linux-6", "processors": 8, "memory_bytes": 2**34, "gpus": [{"name": "H200"}]},
        }
        session.artifact(uid, "environment.json", json.dumps(environment).encode())
        saving = StoringRecorder(self.workspace)
        saving.write = lambda record, sync=False: session.put(record)  # type: ignore[method-assign]
        assert save_model(saving, uid, model, "model", sample_fit_data(X, pd.Series(y, name="delay")))  # type: ignore[arg-type]
        session.end(uid)
        return uid


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("cards of models")
    Workspace.init(root)
    (root / FILE).write_text('[data]\npersonal = ["*email*"]\n')
    workspace = Workspace.open(root)
    session = Recorder(workspace)
    with Client.connect(workspace) as client:
        place = Place(workspace, client, session)
        try:
            place.run("first", 1.0, 0.91, "a" * 32)
            place.run("second", 0.5, 0.94, "b" * 32)
            client.register("flights", RegisterRequest("first"))
            client.register("flights", RegisterRequest("second"))
            client.promote("flights", 2, PromoteRequest("champion", ["accuracy > 0.92"]))
            client.deploy("delays", DeployRequest("flights@champion"), timeout=120)
            yield place
        finally:
            client.remove_endpoint("delays")
            client.shutdown()


def test_what_is_known_is_on_the_card(place: Place) -> None:
    card = place.client.card("flights", 2)
    version = next(version for version in place.client.versions("flights") if version.version == 2)
    assert (card.name, card.version, card.author, card.task) == ("flights", 2, "ann", "classification")
    assert len(card.digest) == 32 and card.created_ms == version.created_ms and card.signature == version.signature
    assert card.estimator.endswith("Pipeline") and card.params == {"C": "0.5"} and card.metrics == {"accuracy": 0.94}
    assert any(line.startswith("scikit-learn==") for line in card.software)
    assert (card.machine.processors, card.machine.gpus, card.machine.python) == (8, ["H200"], "3.12.4")

    distance, carrier, _, email = card.inputs
    assert (distance.name, distance.type, distance.required, distance.nullable) == ("distance", "double", True, False)
    assert distance.low == pytest.approx(table().distance.min()) and carrier.values == ["AA", "UA"]
    assert (email.hidden, email.values, email.low, email.high) == (True, [], None, None)
    assert [target.name for target in card.targets] == ["delay"]
    assert card.classes == ["in time", "late"] and {output.name for output in card.outputs} >= {"predict"}

    (training,) = card.training
    assert (training.digest, training.rows, training.missing) == ("b" * 32, 400, {"distance": 3})
    assert [(span.column, span.first_ms) for span in training.spans] == [("departure", 1356998400000)]
    assert [(data.name, data.context) for data in card.other_data] == [("X_test", "test")]
    assert card.gate is not None and [(c.condition, c.passed) for c in card.gate.checks] == [("accuracy > 0.92", True)]
    assert card.golden["training"] >= 20 and set(card.golden) == {"training", "boundary", "perturbed"}

    assert card.importance is not None and card.importance.metric == "accuracy"
    importance = {column.name: column.mean for column in card.importance.columns}
    assert importance["distance"] > 0.3 > 0.05 > abs(importance[EVIL])
    assert card.slices is not None and {(part.column, part.value) for part in card.slices.slices} == {
        ("carrier", "AA"), ("carrier", "UA"),
    }  # fmt: skip
    assert sum(part.rows for part in card.slices.slices) == card.slices.rows == 400


def test_the_lineage_goes_from_the_cell_to_the_endpoint(place: Place) -> None:
    lineage = place.client.card("flights", 2).lineage
    assert (lineage.notebook, lineage.cell, lineage.cell_id) == ("flights.ipynb", 3, "cell-3")
    assert lineage.cell_digest == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert (lineage.run, lineage.experiment, lineage.pipeline, lineage.stage) == ("second", "flights", "flights", "fit")
    assert lineage.git_commit.startswith("c0ffee") and lineage.run_id and lineage.run_uid
    assert lineage.aliases == ["champion"] and lineage.endpoints == [CardEndpoint("delays", "flights@champion")]
    assert place.client.card("flights", 1).lineage.endpoints == []


def test_the_changes_since_the_previous_version_are_named(place: Place) -> None:
    changes = place.client.card("flights", 2).changes
    assert changes is not None and changes.version == 1
    assert changes.changes == [
        CardChange("metric", "accuracy", 0.91, 0.94),
        CardChange("parameter", "C", "1.0", "0.5"),
        CardChange("data", "X (training)", "a" * 32, "b" * 32),
    ]
    assert place.client.card("flights", 1).changes is None


def test_the_command_writes_the_card_and_keeps_what_a_person_wrote(place: Place) -> None:
    root = place.workspace.root
    own = root / "cards" / "flights.md"
    said = mlops(root, "card", "flights")
    assert "card of flights/2" in said and "cards/flights.md (created)" in said
    assert "nobody has written about: Purpose, Users, Out of scope, Limits, Risks, Owner, Contact" in " ".join(
        said.split()
    )
    written = b"\xef\xbb\xbf# mine\r\n\r\n## Owner\r\nAnna <b>Berg</b>\r\n## Mine\r\nkept\r\n## purpose\r\nPlan *gates*"
    own.write_bytes(written)
    said = mlops(root, "card", "flights@champion")
    assert own.read_bytes() == written and "(created)" not in said
    assert "Plan *gates*" in said and "Anna <b>Berg</b>" in said
    generated = {ending: root / f".mlops/cards/flights-2.{ending}" for ending in ("md", "html", "json")}
    card = msgspec.json.decode(generated["json"].read_bytes(), type=ModelCard)
    assert (card.text.owner, card.text.purpose) == ("Anna <b>Berg</b>", "Plan *gates*")
    assert card.open_questions == ["Users", "Out of scope", "Limits", "Risks", "Contact"]
    assert card == place.client.card("flights", 2)
    assert "Plan *gates*" in generated["md"].read_text()
    html = generated["html"].read_text()
    assert "Plan *gates*" in html and "<b>" not in html and "<img" not in html and "onerror=&quot;" in html
    assert len(html) < 60_000 and "<script" not in html
    for file in generated.values():
        assert "anna0@example.org" not in file.read_text()

    before = {file: file.read_bytes() for file in generated.values()}
    mlops(root, "card", "flights/2")
    assert {file: file.read_bytes() for file in generated.values()} == before, "the same state has the same card"
    own.unlink()


def test_the_form_and_the_file_of_the_card_can_be_chosen(place: Place) -> None:
    root = place.workspace.root
    assert "# Model card of `flights/1`" in mlops(root, "card", "flights/1", "--format", "md")
    assert json.loads(mlops(root, "card", "flights/1", "--json"))["version"] == 1
    mlops(root, "card", "flights/1", "--output", "first.html")
    assert (root / "first.html").read_text().startswith("<!DOCTYPE html>")
    mlops(root, "card", "flights/1", "--format", "json", "--output", "first.txt")
    assert json.loads((root / "first.txt").read_text())["name"] == "flights"


def test_what_does_not_exist_is_said(place: Place) -> None:
    root = place.workspace.root
    assert "did you mean 'flights'" in mlops(root, "card", "flihgts", fails=True)
    assert "did you mean 'champion'" in mlops(root, "card", "flights@champ", fails=True)
    assert "use name@alias" in mlops(root, "card", "flights/x", fails=True)
    with pytest.raises(NotFound, match="no version 9"):
        place.client.card("flights", 9)
    assert not (root / "cards" / "flihgts.md").exists()
