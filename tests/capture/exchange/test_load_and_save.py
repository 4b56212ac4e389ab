"""`load` and `save` find the files of a stage, or those that the notebook's variables name, and say what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kernels import Kernel
from sklearn.linear_model import Ridge

from mlops_workbench import load, save, track
from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, WorkbenchError
from mlops_workbench.core.records import Artifact, Dataset, Metrics, Model
from mlops_workbench.core.stage_io import StageInput, StageOutput, write_stage_io
from mlops_workbench.core.workspace import Workspace


@pytest.fixture
def stage(tmp_path, monkeypatch, session):
    """Writes the file of a stage, whose inputs and outputs these are."""

    def write(inputs=None, outputs=None):
        path = tmp_path / f"stage-{len(list(tmp_path.glob('stage-*')))}.json"
        write_stage_io(path, inputs, outputs)
        monkeypatch.setenv("MLOPS_STAGE", str(path))

    monkeypatch.chdir(tmp_path)
    return write


def test_a_notebook_outside_of_a_pipeline_uses_the_paths_in_its_variables(tmp_path, monkeypatch, session):
    monkeypatch.chdir(tmp_path)
    out = Path("deep/er/x.parquet")
    save("out", pd.DataFrame({"a": [1, 2]}))
    assert load("out")["a"].tolist() == [1, 2] and out.exists()
    parts = ["b.csv", "a.csv"]
    for name, path in zip("ba", parts, strict=True):
        some = path
        save("some", pd.DataFrame({"from": [name]}))
    assert load("parts")["from"].tolist() == ["b", "a"] and some
    pattern = str(tmp_path / "*.csv")
    assert pattern and load("pattern")["from"].tolist() == ["a", "b"] and load("pattern").index.tolist() == [0, 1]
    assert [len(table) for table in load("pattern", as_list=True)] == [1, 1]
    assert len(load("out", as_list=True)) == 1


def test_a_stage_uses_its_inputs_and_outputs_and_not_the_variables(stage, tmp_path):
    train = "elsewhere.parquet"
    pd.DataFrame({"a": [3]}).to_parquet(tmp_path / "in.parquet")
    stage(
        {"train": StageInput([str(tmp_path / "in.parquet")], "table")},
        {
            "made": StageOutput(str(tmp_path / "outputs" / "made"), "table"),
            "scores": StageOutput(str(tmp_path / "s.json"), "json"),
        },
    )
    assert load("train")["a"].tolist() == [3] and train
    # A declared type counts more than the ending.
    save("made", load("train"))
    assert load("made")["a"].tolist() == [3] and pd.read_parquet(tmp_path / "outputs" / "made")["a"].tolist() == [3]
    save("scores", {"mae": np.float64("nan"), "n": np.int64(3)})
    assert load("scores")["n"] == 3 and (tmp_path / "s.json").read_text() == '{\n "mae": "NaN",\n "n": 3\n}'
    # A notebook of a stage may have files of its own.
    own = str(tmp_path / "own.json")
    save("own", [1])
    assert load("own") == [1] and own


def test_several_files_of_an_input_are_one_table_or_a_list(stage, tmp_path):
    paths = [str(tmp_path / f"{i}.parquet") for i in range(3)]
    for i, path in enumerate(paths):  # noqa: B007 save reads it
        save("path", pd.DataFrame({"i": [i]}, index=[f"row {i}"]))
    notes = [str(tmp_path / f"{i}.json") for i in range(2)]
    for note in notes:  # noqa: B007 save reads it
        save("note", 5)
    stage({"parts": StageInput(paths, "table"), "notes": StageInput(notes), "none": StageInput([])})
    assert load("parts")["i"].tolist() == [0, 1, 2] and load("parts").index.tolist() == ["row 0", "row 1", "row 2"]
    assert load("notes") == [5, 5]
    with pytest.raises(NotFound, match="'none' has no files"):
        load("none")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("clf", pd.DataFrame({"a": [1]}), "has the type model, and the value is a table"),
        ("table", {"a": 1}, "has the type table, and the value is JSON"),
        ("picture", np.zeros(3), "an array .* cannot be saved to a path that ends in '.png'"),
        ("array", {"a": np.zeros(3)}, "a dict of arrays is saved as '.npz'"),
        ("train", 1, "is an input of this stage"),
        ("tabel", pd.DataFrame(), "did you mean 'table'"),
        ("text", lambda: 1, "cannot be saved"),
        (
            "clf",
            type("Own", (), {"predict": lambda self, X: X, "fit": lambda self, X: self})(),
            "not on the list of trusted types",
        ),
    ],
)
def test_a_value_that_does_not_suit_its_output_is_refused_before_anything_is_written(
    stage, tmp_path, name, value, says
):
    kinds = {
        "clf": ("clf", "model"),
        "table": ("t", "table"),
        "picture": ("p.png", "file"),
        "array": ("a.npy", "array"),
        "text": ("x.txt", "file"),
    }
    outputs = {key: StageOutput(str(tmp_path / "made" / path), kind) for key, (path, kind) in kinds.items()}
    stage({"train": StageInput([str(tmp_path / "t.csv")])}, outputs)
    with pytest.raises(WorkbenchError, match=says) as refused:
        save(name, value)
    assert refused.value.hint
    assert not list(tmp_path.glob("made/*"))


def test_a_missing_or_damaged_file_is_named(stage, tmp_path):
    stage(
        {
            "gone": StageInput([str(tmp_path / "gone.parquet")]),
            **{kind: StageInput([str(tmp_path / "damaged")], kind) for kind in ("table", "array", "model", "json")},
        }
    )
    (tmp_path / "damaged").write_bytes(b"\x80no such format")
    with pytest.raises(NotFound, match="'gone' does not exist") as gone:
        load("gone")
    assert gone.value.where == str(tmp_path / "gone.parquet")
    for kind in ("table", "array", "model", "json"):
        with pytest.raises(InvalidInput, match=f"{kind}: the (file|model)") as damaged:
            load(kind)
        assert damaged.value.where == str(tmp_path / "damaged")
    number = 3
    for name, says in (("gonne", "did you mean 'gone'"), ("number", "holds a value of type int and no path")):
        with pytest.raises(WorkbenchError, match=says):
            load(name)
    assert number
    with pytest.raises(InvalidInput, match="takes the name"):
        load(pd.DataFrame())


def test_a_file_is_replaced_only_when_the_new_one_is_complete(stage, tmp_path):
    class Broken(dict):
        def items(self):
            raise RuntimeError("in the middle")

    path = str(tmp_path / "a.npz")  # noqa: F841 save reads it
    save("path", {"a": np.zeros(2)})
    with pytest.raises(RuntimeError):
        save("path", Broken(a=np.ones(2)))
    assert load("path")["a"].tolist() == [0, 0]
    assert [file.name for file in tmp_path.iterdir() if "stage" not in file.name and file.is_file()] == ["a.npz"]
    blocked = str(tmp_path / "a.npz" / "below.json")
    with pytest.raises(StorageError) as refused:
        save("blocked", 1)
    assert refused.value.where == blocked


def test_urls_of_other_stores_are_read_and_written(stage):
    table, picture = "memory://exchange/t.parquet", "memory://exchange/x.txt"
    save("table", pd.DataFrame({"a": [1]}))
    save("picture", "text")
    assert load("table")["a"].tolist() == [1] and load("picture") == "text" and table
    gone, unknown = "memory://exchange/gone.parquet", "nosuchstore://bucket/x.json"
    with pytest.raises(NotFound, match="'gone' does not exist"):
        load("gone")
    with pytest.raises(StorageError, match="'unknown' cannot be read") as refused:
        load("unknown")
    assert refused.value.where == unknown and gone and picture


def test_figures_are_written_in_the_format_of_their_path(stage, tmp_path):
    import matplotlib.figure
    import plotly.graph_objects as go

    drawn = matplotlib.figure.Figure()
    drawn.subplots().plot([1, 2])
    for ending, begin in (("png", b"\x89PNG"), ("svg", "<?xml"), ("pdf", b"%PDF")):
        path = str(tmp_path / f"figure.{ending}")
        save("path", drawn)
        assert load("path").startswith(begin) and path
    page, data = str(tmp_path / "page.html"), str(tmp_path / "figure.json")
    save("page", go.Figure(go.Bar(y=[1, 3])))
    assert "plotly" in load("page") and page
    stage(None, {"chart": StageOutput(data, "figure")})
    save("chart", go.Figure(go.Bar(y=[1, 3])))
    assert list(load("chart").data[0].y) == [1, 3]
    with pytest.raises(InvalidInput, match="cannot be saved"):
        save("page", drawn)


def test_a_saved_model_and_table_belong_to_the_run(stage, tmp_path, session, records):
    X = pd.DataFrame({"a": [1.0, 2, 3], "b": [0.0, 1, 0]})
    model = Ridge().fit(X, [1, 2, 3])
    stage(
        None,
        {
            "clf": StageOutput(str(tmp_path / "clf.skops"), "model"),
            "test": StageOutput(str(tmp_path / "test.parquet"), "table"),
        },
    )
    save("clf", model)
    assert records.of(Model) == []
    with track("train"):
        save("clf", model)
        save("test", X)
    (logged,) = records.of(Model, "train")
    (data,) = records.of(Dataset, "train")
    assert logged.name == "clf" and (data.name, data.context, data.rows) == ("test", "output", 3)
    assert data.source == str(tmp_path / "test.parquet")
    assert load("clf").predict(X) == pytest.approx(model.predict(X))


@pytest.mark.process
def test_importing_load_and_save_imports_no_library_of_the_field(tmp_path):
    script = (
        "import sys\nfrom mlops_workbench import load, save\n"
        "path = 'x.json'\nsave('path', {'a': 1})\nassert load('path') == {'a': 1}\n"
        "field = {'pandas', 'numpy', 'pyarrow', 'sklearn', 'skops', 'polars', 'fsspec'}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & field))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "MLOPS_WORKSPACE": str(Workspace.init(tmp_path / "space").root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]" and done.stderr == ""


@pytest.mark.process
def test_a_notebook_hands_its_model_on_in_a_stage_and_by_hand(tmp_path):
    root = Workspace.init(tmp_path / "space").root
    pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [2.0, 4, 6, 8]}).to_parquet(root / "own.parquet")
    pd.DataFrame({"x": [1.0, 2, 3], "y": [1.0, 2, 3]}).to_parquet(tmp_path / "given.parquet")
    cells = [
        "train = 'own.parquet'\nclf = 'own.skops'",
        "from mlops_workbench import load, save\nfrom sklearn.linear_model import LinearRegression\n"
        "from sklearn.metrics import mean_absolute_error",
        "frame = load('train')\nmodel = LinearRegression().fit(frame[['x']], frame['y'])\n"
        "mae = mean_absolute_error(frame['y'], model.predict(frame[['x']]))\nsave('clf', model)",
        "again = load('clf')\nprint(round(float(again.coef_[0]), 6))",
    ]
    stage_file = tmp_path / "stage.json"
    write_stage_io(
        stage_file,
        {"train": StageInput([str(tmp_path / "given.parquet")], "table")},
        {"clf": StageOutput(str(tmp_path / "outputs" / "clf.skops"), "model")},
    )
    for environment, slope in (({}, "2.0"), ({"MLOPS_RUN_UID": "ef" * 16, "MLOPS_STAGE": str(stage_file)}, "1.0")):
        kernel = Kernel(root, **environment)
        try:
            said = [output for cell in cells for output in kernel.run(cell)]
        finally:
            kernel.close()
        assert [output["text"].strip() for output in said if output.get("name") == "stdout"] == [slope], said
    assert (root / "own.skops").exists() and (tmp_path / "outputs" / "clf.skops").exists()
    (logged,) = kernel.records.of(Model)
    assert (logged.run_uid, logged.name) == ("ef" * 16, "clf") and "mlops/reference.parquet" in logged.files
    assert {"mae"} <= {name for record in kernel.records.of(Metrics) for name in record.values}
    assert all(artifact.run_uid == "ef" * 16 for artifact in kernel.records.of(Artifact))
