"""The card of a run: its content, and that its HTML is safe."""

from __future__ import annotations

import json
import math
import os
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops_workbench.capture import log_model, save_model_of_run, track
from mlops_workbench.capture.run.fits import Fit
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Column, Dataset
from mlops_workbench.core.run_ranking import MetricChange, ParamChange, RunRanking
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.magics.shown.card import card
from mlops_workbench.magics.shown.card_parts import dataset_text


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs), attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(html: str) -> Page:
    found = Page(html)
    assert found.open == [] and not found.tags & {"script", "iframe", "img", "link", "style"}
    return found


def ended(session: Session, name: str = "boosted", status: str = "FINISHED", **metrics: float):
    run = session.start_run(name)
    run.log(metrics)
    run.end(status)
    return run


def test_a_card_shows_changes_of_metrics_and_parameters(session: Session) -> None:
    run = ended(session, mae=2.0, auc=0.8, plain=1.0)
    run.log_params(depth=6, seed=1)
    ranking = RunRanking(
        [MetricChange("mae", 2.0, "lower", 2.5, 1.5), MetricChange("auc", 0.8, "higher", 0.8, 0.8),
         MetricChange("plain", 1.0, "", 2.0)],
        [ParamChange("depth", "6", "3")], "linear",
    )  # fmt: skip
    bundle = card(run, ranking, {"mae": [3.0, 2.0]})
    text = bundle["text/plain"]
    assert "mae=2  −0.5 (20.0 %) better than linear; best is 1.5" in text
    assert "as linear; best so far" in text and "−1 (50.0 %) against linear" in text
    assert "changed  depth=6 (was 3)" in text and "params   seed=1" in text
    shown = page(bundle["text/html"])
    assert "better than linear" in shown.text and "polyline" in shown.tags and "details" in shown.tags


def test_data_is_shown_with_its_version_and_what_that_covers() -> None:
    def data(covers: str) -> str:
        return dataset_text(Dataset("u", "X", "training", "ab" * 16, 1234, [Column("a", "double")], covers=covers))

    assert data("content") == "X 1,234 x 1 #abababab"
    assert "sampled" in data("sampled") and "shape only" in data("shape")


def test_many_warnings_fit_on_the_card(session: Session) -> None:
    run = ended(session)
    run.notes += [f"warning number {number} <b>" for number in range(30)]
    bundle = card(run)
    assert "warning number 0 <b>" in bundle["text/plain"] and "and 26 more" in bundle["text/plain"]
    assert "warning number 29 <b>" in page(bundle["text/html"]).text


def test_a_card_with_many_values_stays_small(session: Session) -> None:
    run = ended(session, **{f"metric_{n}": float(n) for n in range(1000)})
    run.log_params({f"param_{n}": "x" * 10_000 for n in range(1000)})
    bundle = card(run)
    assert len(bundle["text/plain"]) < 4000 and len(bundle["text/html"]) < 120_000
    assert "and 992 more" in bundle["text/plain"]


def test_resources_have_a_line_of_their_own(session: Session) -> None:
    text = card(ended(session, mae=1.0))["text/plain"]
    assert "metrics  mae=1\n" in text and re.search(r"used     peak memory [\d,.]+ MB", text)


def test_the_card_of_a_failed_run_shows_what_to_do(session: Session) -> None:
    run = session.start_run("it's broken")
    run.end("FAILED", error=ValueError("<no> & never"))
    bundle = card(run)
    assert "ValueError: <no> & never" in bundle["text/plain"] and "fix the cell" in bundle["text/plain"]
    assert "%mlops show 'it'\"'\"'s broken'" in bundle["text/plain"]
    assert "ValueError: <no> & never" in page(bundle["text/html"]).text


def test_a_card_offers_only_what_can_be_registered(session: Session) -> None:
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]

    def next_of(name: str, model: object) -> str:
        run = session.start_run(name)
        session.models.fits.add(run.uid, run.name, [Fit("model", model, None)])
        run.end()
        return card(run)["text/plain"].splitlines()[-1]

    grid = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2)
    refitted, not_refitted = clone(grid).fit(X, y), clone(grid).set_params(refit=False).fit(X, y)
    assert "%mlops register grid --as MODEL" in next_of("grid", refitted)
    said = next_of("bare", not_refitted)
    assert "register bare" not in said
    assert "no model to register: GridSearchCV was made with refit=False" in said
    scaler = StandardScaler().fit(X)
    assert "no model to register: StandardScaler has no method predict" in next_of("scaled", scaler)
    with pytest.raises(InvalidInput, match="'bare' has no model to register: GridSearchCV was made with refit=False"):
        save_model_of_run("bare")
    with track("logged"), pytest.raises(InvalidInput, match="refit=False"):
        log_model(not_refitted)
    # A saved model can be registered, whatever else the run fitted.
    with track("kept"):
        log_model(refitted.best_estimator_)
    assert save_model_of_run("kept") is False


def test_a_name_that_cannot_be_typed_is_offered_as_an_id(session: Session) -> None:
    run = ended(session, "a\x1b[2Jb")
    assert f"%mlops show {run.uid[-8:]}" in card(run)["text/plain"]


controls = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1b\x07\x9b\u202e\ud800"), min_size=1)


@given(controls, st.floats(), controls)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_name_and_value_make_a_whole_page(session: Session, name: str, value: float, param: str) -> None:
    run = session.start_run(name)
    run.log({name: value})
    run.log_params({name: param})
    run.notes.append(param)
    run.end()
    change = MetricChange(name, value if math.isfinite(value) else None, "higher", 1.0, 2.0)
    bundle = card(run, RunRanking([change], [ParamChange(name, param, None)], name), {name: [value, 1.0, value]})
    page(bundle["text/html"])
    json.dumps(bundle).encode()
    assert all(visible(part) == part for part in bundle.values())


def test_a_run_has_the_url_of_its_page(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    run = ended(session)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert run.url == ""
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    assert run.url == ""
    (tmp_path / f"jpserver-{os.getpid()}.json").write_text('{"url": "http://localhost:8888/base/", "token": "x"}')
    assert run.url == f"http://localhost:8888/base/lab?mlops-run={run.uid}"
    remote = Session(Workspace.open(workspace.root, {"tracking.uri": "https://ann:secret@mlflow.example/ui/"}))
    assert ended(remote).url == "https://mlflow.example/ui"
    remote.close()
