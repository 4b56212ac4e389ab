"""Files of any size get the answers of the model, in the order of their rows, or a clear reason."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fitted_models import save_fitted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.scoring import parts
from mlops_workbench.serving.scoring.launch import ScoringProcess
from mlops_workbench.serving.scoring.paths import input_paths
from mlops_workbench.serving.scoring.request import Scored, ScoringLog, ScoringRequest
from mlops_workbench.serving.scoring.rows import rows_of_part
from mlops_workbench.serving.scoring.run import score_files

RNG = np.random.default_rng(0)
ROWS = 700
X = pd.DataFrame(
    {
        "größe": RNG.normal(size=ROWS),
        "count": RNG.integers(0, 50, ROWS),
        "kind": RNG.choice(["red", "green, blue", 'a "quoted"\nword'], ROWS),
    }
)
LABEL = np.where(X["größe"] + (X["count"] > 20) > 0.4, "late", "on time")


def _encoded(last: Any) -> Any:
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(ColumnTransformer([("kind", encode, ["kind"])], remainder="passthrough"), last)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("scoring") / "ein Ordner")


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {
        "forest": _encoded(RandomForestClassifier(12, random_state=0)).fit(X, LABEL),
        "boosted": _encoded(HistGradientBoostingRegressor(max_iter=8)).fit(X, X["größe"] * 3),
        "line": LinearRegression().fit(X[["größe", "count"]], X["größe"] * 3),
    }


@pytest.fixture(scope="module")
def score(workspace: Workspace, fitted: dict[str, Any]) -> Callable[..., Scored]:
    """Score files with one of the models, in this process unless another one is asked for."""
    folders: dict[str, Path] = {}

    def run(name: str, inputs: list[Path], output: Path, *, apart: bool = False, **options: Any) -> Scored:
        if name not in folders:
            folders[name] = workspace.root / name
            given = X[["größe", "count"]] if name == "line" else X
            save_fitted(workspace, folders[name], fitted[name], given, LABEL)
        request = ScoringRequest(
            model=name,
            version=3,
            folder=str(folders[name]),
            settings=ServingSettings(),
            inputs=[str(path) for path in inputs],
            output=str(output),
            **{"workers": 1, **options},
        )
        if not apart:
            return score_files(request, lambda _: None)
        with ScoringProcess(workspace.root) as process:
            return process.run(request, lambda _: None)

    return run


def rows_of(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.mark.process
def test_parquet_and_csv_files_have_the_answers_of_the_model_in_the_order_of_their_rows(
    score: Callable[..., Scored], fitted: dict[str, Any], tmp_path: Path
) -> None:
    first, second = X[:400].assign(key=np.arange(400)), X[400:].assign(key=np.arange(400, ROWS))
    first.to_parquet(tmp_path / "first.parquet", row_group_size=90)
    second.to_csv(tmp_path / "second.csv", index=False)
    inputs = [tmp_path / "first.parquet", tmp_path / "second.csv"]
    done = score("forest", inputs, tmp_path / "out.parquet", keep=["key"], workers=2, apart=True)
    assert (done.rows, done.refused, done.version, done.workers) == (ROWS, 0, 3, 2)
    assert done.runtime == "sklearn-compiled", done.uncompiled
    found = rows_of(tmp_path / "out.parquet")
    assert found.columns.tolist() == ["file", "row", "key", "prediction", "probabilities"]
    assert found["key"].tolist() == list(range(ROWS))
    assert found["row"].tolist() == [*range(400), *range(300)]
    assert found["file"].unique().tolist() == [str(path) for path in inputs]
    model = fitted["forest"]
    assert found["prediction"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(np.stack(found["probabilities"]), model.predict_proba(X), rtol=1e-6)
    classes = pq.read_schema(tmp_path / "out.parquet").metadata[b"mlops.classes"]
    assert msgspec.json.decode(classes) == model.classes_.tolist()


def test_a_csv_output_has_a_column_for_each_class(
    score: Callable[..., Scored], fitted: dict[str, Any], tmp_path: Path
) -> None:
    X.to_csv(tmp_path / "in.csv", index=False, encoding="utf-8-sig")
    score("forest", [tmp_path / "in.csv"], tmp_path / "out.csv")
    found = rows_of(tmp_path / "out.csv")
    assert found.columns.tolist() == ["row", "prediction", "probability_late", "probability_on time"]
    np.testing.assert_allclose(found.iloc[:, 2:], fitted["forest"].predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("name", ["boosted", "line"])
def test_numbers_are_those_of_the_model_whatever_way_many_rows_take(
    score: Callable[..., Scored], fitted: dict[str, Any], tmp_path: Path, name: str
) -> None:
    asked = pd.concat([X] * 3, ignore_index=True)
    asked = asked[["größe", "count"]] if name == "line" else asked
    asked.to_parquet(tmp_path / "in.parquet")
    score(name, [tmp_path / "in.parquet"], tmp_path / "out.parquet")
    np.testing.assert_allclose(rows_of(tmp_path / "out.parquet")["prediction"], fitted[name].predict(asked), rtol=1e-6)


@given(st.integers(1, 900), st.integers(1, 200), st.integers(1, 40))
def test_no_part_is_much_larger_than_the_memory_that_is_meant_for_it(rows: int, group: int, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_MOST", most)
        patch.setattr(parts, "_FEWEST", 1)
        path = Path(folder) / "in.parquet"
        pq.write_table(pa.table({"a": np.arange(float(rows))}), path, row_group_size=group)
        signature = Signature((InputColumn("a", "double"),), "table")
        file = parts.input_file(path, signature, [])
        found = []
        with file.open() as opened:
            for part in parts.parts([file], 1):
                one = rows_of_part(part, file, opened, signature)
                assert one.count <= 2 * most
                found += one.batch(0, one.count).columns["a"].tolist()
        assert found == list(range(rows))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60), st.integers(1, 60), st.sets(st.integers(0, 119), max_size=6), st.booleans())
def test_exactly_the_rows_that_the_model_cannot_answer_have_none(
    score: Callable[..., Scored],
    fitted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    most: int,
    bad: set[int],
    is_csv: bool,
) -> None:
    monkeypatch.setattr(parts, "_MOST", most)
    monkeypatch.setattr(parts, "_FEWEST", 1)
    asked = X[["größe", "count"]][:120].astype(object)
    for row in bad:
        asked.loc[row, "count"] = "many" if is_csv else None
    source = tmp_path / ("in.csv" if is_csv else "in.parquet")
    if is_csv:
        asked.to_csv(source, index=False)
    else:
        asked = asked.astype({"größe": float, "count": "Int64"})
        asked.to_parquet(source, row_group_size=group)
    done = score("line", [source], tmp_path / "out.parquet", on_error="null")
    found = rows_of(tmp_path / "out.parquet")
    assert set(np.flatnonzero(found["prediction"].isna())) == bad
    assert set(np.flatnonzero(found["error"].notna())) == bad
    assert done.refused == len(bad)
    good = X[["größe", "count"]][:120].drop(index=sorted(bad))
    np.testing.assert_allclose(found["prediction"].drop(index=sorted(bad)), fitted["line"].predict(good))


def test_a_bad_row_is_named_and_nothing_is_written(score: Callable[..., Scored], tmp_path: Path) -> None:
    asked = X.astype({"count": object})
    asked.loc[612, "count"] = "viele"
    asked.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(InvalidInput, match=r"in\.csv, row 612 .*column 'count'.*viele"):
        score("forest", [tmp_path / "in.csv"], tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_file_without_a_column_is_refused_before_anything_is_read(
    score: Callable[..., Scored], tmp_path: Path
) -> None:
    X.rename(columns={"kind": "kinds"}).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InvalidInput, match=r"in\.parquet: missing input column 'kind'; unknown: 'kinds'"):
        score("forest", [tmp_path / "in.parquet"], tmp_path / "out.parquet", on_error="null")
    X.to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InvalidInput, match=r"no column 'kinds' to keep; did you mean 'kind'"):
        score("forest", [tmp_path / "in.parquet"], tmp_path / "out.parquet", keep=["kinds"])
    X.astype({"count": str}).assign(count="x").to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InvalidInput, match="no row has an answer"):
        score("forest", [tmp_path / "in.parquet"], tmp_path / "out.parquet", on_error="null")
    (tmp_path / "in.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidInput, match=r"in\.parquet: the file cannot be read"):
        score("forest", [tmp_path / "in.parquet"], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_answers_are_in_the_log_with_the_ids_of_the_output(score: Callable[..., Scored], tmp_path: Path) -> None:
    X.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    log = ScoringLog(str(tmp_path / "endpoint=eta"), ["kind"], "drop")
    score("forest", [tmp_path / "in.parquet"], tmp_path / "out.parquet", log=log, event_time="2026-03-01T00:00:00Z")
    files = sorted((tmp_path / "endpoint=eta").rglob("*.parquet"))
    logged = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files]).to_pandas()
    found = rows_of(tmp_path / "out.parquet")
    both = found.merge(logged, left_on=["request_id", "request_row"], right_on=["request_id", "row"])
    assert len(both) == len(logged) == ROWS
    assert (both["prediction_x"] == both["prediction_y"]).all()
    assert set(logged["protocol"]) == {"batch"}
    assert "feature.kind" not in logged
    assert set(logged["event_time"].dt.strftime("%Y-%m-%d")) == {"2026-03-01"}


@pytest.mark.process
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_killed_worker_or_process_leaves_no_output_and_no_other_process(
    score: Callable[..., Scored],
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: bool,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    X.to_parquet(tmp_path / "in.parquet")
    score("forest", [tmp_path / "in.parquet"], tmp_path / "first.parquet")
    table = pa.concat_tables([pq.read_table(tmp_path / "in.parquet")] * 4000)
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=5000)
    request = ScoringRequest(
        model="forest",
        version=3,
        folder=str(workspace.root / "forest"),
        settings=ServingSettings(),
        inputs=[str(tmp_path / "many.parquet")],
        output=str(tmp_path / "out.parquet"),
        workers=2,
    )
    victims: list[psutil.Process] = []
    with ScoringProcess(workspace.root) as process:
        parent = psutil.Process(process._process.pid)

        def kill(_: Any) -> None:
            if not victims:
                victims.extend(parent.children())
                os.kill(parent.pid if whole else victims[0].pid, signal.SIGKILL)

        with pytest.raises(Unavailable, match="has ended"):
            process.run(request, kill)
    assert len(victims) == 2
    deadline = time.monotonic() + 30
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in victims):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "out.parquet").exists()
    assert not list((tmp_path / "temporary").iterdir())


def test_what_is_read_and_written_is_checked_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "b").mkdir(parents=True)
    for name in ("b/2.csv", "a.parquet", "_SUCCESS.csv", ".hidden.csv", "notes.txt"):
        (folder / name).touch()
    (tmp_path / "out.parquet").touch()
    out = tmp_path / "new.parquet"
    found = input_paths([str(folder)], out)
    assert [path.name for path in found] == ["a.parquet", "2.csv"]
    for words, target, message in (
        ([str(folder)], tmp_path / "out.parquet", "exists"),
        ([str(folder)], tmp_path / "out.txt", "must end with"),
        ([str(folder)], folder, "must end with"),
        ([str(folder)], folder / "b" / "out.csv", "is in the input folder"),
        ([str(tmp_path / "no.csv")], out, "no file"),
        ([str(folder / "notes.txt")], out, "neither Parquet nor CSV"),
        ([str(tmp_path / "out.parquet")], tmp_path / "out.parquet", "is an input"),
        ([], out, "no input"),
    ):
        with pytest.raises(WorkbenchError, match=message):
            input_paths(words, target)
    assert input_paths([str(folder)], tmp_path / "out.parquet", force=True)
