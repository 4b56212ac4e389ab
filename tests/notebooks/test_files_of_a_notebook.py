"""Files that a notebook reads and writes, found in its code."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.notebooks.files import NotebookFiles, notebook_files
from mlops_workbench.notebooks.parameters.declared import parse_parameters
from mlops_workbench.notebooks.source import cell_tree

CELL = "raw = 'data/raw.csv'\nfolder = 'data'\nout: str = 'out.parquet'\nn = 3"


def files(*cells: str, parameters: str = CELL) -> NotebookFiles:
    trees = [cell_tree(cell, TransformerManager().transform_cell) for cell in (parameters, *cells)]
    return notebook_files(trees, parse_parameters(parameters))


@pytest.mark.parametrize(
    "code",
    [
        "pd.read_csv(raw)", "pd.read_csv(filepath_or_buffer=raw)", "open(raw)", "open(raw, 'rb')", "np.load(raw)",
        "Path(raw).read_text()", "joblib.load(raw)", "skops.io.load(raw)", "json.load(open(raw))",
        "path = Path(raw)\npd.read_csv(path)",
        "def read():\n    return pd.read_csv(raw)", "%time pd.read_csv(raw)", "pl.scan_csv(raw)",
    ],
)  # fmt: skip
def test_a_parameter_that_is_read_is_an_input(code: str) -> None:
    assert files(code) == NotebookFiles(inputs=["raw"])


@pytest.mark.parametrize(
    "code",
    [
        "df.to_parquet(out)", "open(out, 'w')", "np.save(out, array)", "joblib.dump(clf, out)",
        "skops.io.dump(clf, out)", "Path(out).write_text('')", "fig.savefig(out)", "torch.save(net, out)",
        "pd.read_parquet(out); df.to_parquet(out)",
    ],
)  # fmt: skip
def test_a_parameter_that_is_written_is_an_output(code: str) -> None:
    assert files(code) == NotebookFiles(outputs=["out"])


def test_paths_in_the_code_are_listed_and_parameters_in_them_replaced() -> None:
    found = files("pd.read_csv('a.csv')", "df.to_csv(f'{n}.csv')", "df.to_csv(Path(folder) / 'b.csv')", "open(x)")
    assert found == NotebookFiles(reads=["a.csv"], writes=["data/b.csv"])
    assert files("Path(folder).mkdir(exist_ok=True)") == NotebookFiles()


def test_only_the_workbenchs_own_functions_load_and_save_names() -> None:
    found = files("from mlops_workbench import load, save", "x = load('train')", "save('clf', model.best)")
    assert found == NotebookFiles(loads=["train"], saves={"clf": "model.best"})
    assert files("import mlops_workbench as wb", "wb.save('a', b)").saves == {"a": "b"}
    assert files("np.load('train')") == NotebookFiles(reads=["train"])


def test_a_comment_says_what_the_code_does_not_show() -> None:
    cell = "train = 'train.csv'  # output: rows\ntest = 'x.csv'  # input, the rest\nn = 1  # inputs"
    assert files("store(train)", parameters=cell) == NotebookFiles(inputs=["test"], outputs=["train"])
