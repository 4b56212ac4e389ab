"""Fills a workspace for the browser tests the way a user would: a notebook, a pipeline, a registry, an endpoint.

Run as ``python seed.py FOLDER``. Everything is real and small: a few thousand flights, one model, five months.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import msgspec
import nbclient
import nbformat
import pandas as pd
from lab_page import PATIENCE

from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.workspace import Workspace

NAME = "flight-delays"
MONTHS = range(4, 9)
ROWS = 400
INPUTS = ["dep_delay", "distance", "dep_minute", "temp", "wind_speed", "carrier"]
SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "flights.py"

FIRST = [
    "%load_ext mlops_workbench\n%mlops experiment flight-delays",
    """\
import warnings
import matplotlib.pyplot as plt
import plotly.express as px
from flights import TARGET, load
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from mlops_workbench import log, log_figure, log_model

columns = INPUTS
frame = load([1, 2, 3]).dropna(subset=columns).sample(6000, random_state=0)
train, test = frame[:4500], frame[4500:]
X_train, y_train, X_test, y_test = train[columns], train[TARGET], test[columns], test[TARGET]
""".replace("INPUTS", repr(INPUTS)),
    """\
%%track baseline
model = DummyRegressor(strategy="median").fit(X_train, y_train)
mae = mean_absolute_error(y_test, model.predict(X_test))
""",
    """\
%%track linear
alpha = 0.5
numbers = X_train.drop(columns="carrier")
model = Ridge(alpha=alpha).fit(numbers, y_train)
mae = mean_absolute_error(y_test, model.predict(X_test[numbers.columns]))
""",
    """\
%%track boosted
max_depth = 6
learning_rate = 0.1
encode = make_column_transformer((OrdinalEncoder(), ["carrier"]), remainder="passthrough")
model = make_pipeline(encode, HistGradientBoostingRegressor(max_depth=max_depth, learning_rate=learning_rate,
                                                            max_iter=60, random_state=0)).fit(X_train, y_train)
predicted = model.predict(X_test)
mae = mean_absolute_error(y_test, predicted)
rmse = root_mean_squared_error(y_test, predicted)

# The error on the test flights as trees are added.
for step, staged in enumerate(model[-1].staged_predict(encode.transform(X_test)), start=1):
    log({"test mae": mean_absolute_error(y_test, staged)}, step=step)

figure, axes = plt.subplots(figsize=(5.5, 4))
axes.scatter(y_test, predicted, s=4, alpha=0.4)
axes.set(xlabel="actual arrival delay (min)", ylabel="predicted", xlim=(-60, 200), ylim=(-60, 200))
log_figure(figure, "predicted vs actual.png")
plt.close(figure)
log_figure(px.histogram(x=y_test - predicted, nbins=60, labels={"x": "error (min)"}), "errors")
log_model(model, X=X_test, y=y_test)
print(f"{len(X_train):,} flights, off by {mae:.2f} minutes")
""",
    """\
%%track "forgot the target"
model = Ridge().fit(X_train, y_train)
""",
]

STAGES = {
    "prepare": (
        "months: list[int] = [1, 2]\nrows: int = 3000  # at most\nflights_csv: str = ''",
        "from flights import load\n"
        f"frame = load(months).dropna(subset={INPUTS!r})\n"
        "frame.sample(min(rows, len(frame)), random_state=0).to_csv(flights_csv, index=False)",
    ),
    "train": (
        "max_depth: int = 4\nflights_csv: str = ''\nmodel_file: str = ''",
        "import joblib\nimport pandas as pd\nfrom sklearn.ensemble import HistGradientBoostingRegressor\n"
        "from mlops_workbench import log_model\nframe = pd.read_csv(flights_csv)\n"
        f"X, y = frame[{INPUTS[:-1]!r}], frame['arr_delay']\n"
        "model = HistGradientBoostingRegressor(max_depth=max_depth, max_iter=40, random_state=0).fit(X, y)\n"
        "joblib.dump(model, model_file)\nlog_model(model, X=X)",
    ),
    "evaluate": (
        "flights_csv: str = ''\nmodel_file: str = ''",
        "import joblib\nimport pandas as pd\nfrom sklearn.metrics import mean_absolute_error\n"
        "from mlops_workbench import log\nframe = pd.read_csv(flights_csv)\n"
        f"X, y = frame[{INPUTS[:-1]!r}], frame['arr_delay']\n"
        "log(mae=mean_absolute_error(y, joblib.load(model_file).predict(X)))",
    ),
}

SPEC = """\
version: 1
params:
  months: {type: "list[int]", default: [1, 2], help: months of 2013 to train on}
  rows: {type: int, default: 3000, help: flights to sample at most}
  max_depth: {type: int, default: 4, help: depth of each tree}
stages:
  prepare:
    notebook: prepare.ipynb
    params: [months, rows]
    outputs: {flights_csv: flights.csv}
  train:
    notebook: train.ipynb
    params: [max_depth]
    inputs: {flights_csv: prepare.flights_csv}
    outputs: {model_file: model.joblib}
  evaluate:
    notebook: evaluate.ipynb
    inputs: {flights_csv: prepare.flights_csv, model_file: train.model_file}
"""


def seed(folder: Path) -> None:
    """Fill the workspace in `folder`; its control plane and endpoint keep running."""
    # Windows here are small; that many rows are enough to act upon.
    (folder / "workbench.toml").write_text(f"[monitoring]\nact_rows = {ROWS}\n")
    workspace = Workspace.init(folder)
    (folder / "flights.py").write_text(SOURCE.read_text())
    _pipeline(workspace)
    _notebook(folder)
    sys.path.insert(0, str(folder))
    with Client.connect(workspace) as client:
        _wait(lambda: len([run for run in client.runs(NAME) if run.status != "RUNNING"]) == 4)
        started = client.start_pipeline(NAME, {"rows": 1500})
        request = RegisterRequest(
            "boosted", gate=["mae < baseline.mae", "mae < 25"], alias="champion", baseline="baseline", experiment=NAME
        )
        _wait(lambda: client.run("boosted", NAME).models)
        client.register(NAME, request)
        client.deploy(NAME, DeployRequest(f"{NAME}@champion"))
        client.register(NAME, RegisterRequest("boosted", alias="challenger", experiment=NAME))
        client.put_monitor(MonitorSpec(NAME, window="month", metric="mae", enabled=False))
        client.wait_endpoint(NAME, 1, timeout=PATIENCE)
        _serve(client)
        client.wait_pipeline(started.id, timeout=2 * PATIENCE)


def _notebook(folder: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in FIRST]
    # The last one fails, as a cell does now and then.
    cells[-1].metadata["tags"] = ["raises-exception"]
    notebook = _document(cells)
    path = folder / "flight_delays.ipynb"
    nbformat.write(notebook, path)
    nbclient.NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, path)


def _document(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})


def _pipeline(workspace: Workspace) -> None:
    specs = workspace.pipeline_specs
    specs.mkdir()
    (specs / "flights.py").write_text(SOURCE.read_text())
    (specs / f"{NAME}.yaml").write_text(SPEC)
    (specs / "broken.yaml").write_text("version: 1\nstages:\n  train:\n    notebook: nowhere.ipynb\n")
    for name, (parameters, source) in STAGES.items():
        cells = [
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(source),
        ]
        nbformat.write(_document(cells), specs / f"{name}.ipynb")


def _serve(client: Client) -> None:
    """Predictions and true delays, month by month, and the windows they make."""
    from flights import TARGET, load

    url = client.endpoint(NAME).url
    flights: pd.DataFrame = load(MONTHS).dropna(subset=INPUTS)
    with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as http:
        for month in MONTHS:
            part = flights[flights["event_time"].dt.month == month].sample(ROWS, random_state=0)
            body = {
                "id": f"m{month}",
                "inputs": tensors(part[INPUTS]),
                "parameters": {"event_time": f"2013-{month:02d}-15T12:00:00Z"},
            }
            http.post(f"/v2/models/{NAME}/infer", content=msgspec.json.encode(body)).raise_for_status()
            truth = {"request_id": f"m{month}", "row": list(range(ROWS)), "label": part[TARGET].tolist()}
            http.post(f"/v2/models/{NAME}/feedback", content=msgspec.json.encode(truth)).raise_for_status()
    _wait(lambda: sum(window.rows for window in client.evaluate_monitor(NAME).windows) == ROWS * len(MONTHS))


def _wait(holds: object, timeout: float = PATIENCE) -> None:
    assert callable(holds)
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the workspace was not filled in time")
        time.sleep(0.5)


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
