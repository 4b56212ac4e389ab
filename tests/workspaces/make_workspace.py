"""Makes the workspace of `test_workspaces_of_earlier_versions.py` with the version that is installed, and packs it.

Run by hand on Linux, once for each released version: ``python tests/workspaces/make_workspace.py OUT.tar.xz``.
All of it is made as a user would: by a notebook, its pipeline and the command ``mlops``. That happens in namespaces of
its own, so that the archive tells nothing of the machine: there the host is called ``workbench``, the workspace is
``/srv/iris``, and whatever still runs at the end is stopped with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import nbformat
from nbclient import NotebookClient

HOME = Path("/srv/iris")
PROJECT, PYTHON = Path("/srv/project"), Path("/srv/python")

ENTER = ("unshare", "--user", "--map-root-user", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
#: A /srv of its own with the project, the environment and the workspace below neutral names.
PREPARE = f"""
hostname workbench
mount -t tmpfs tmpfs /srv
mkdir {HOME} {PROJECT} {PYTHON} /srv/home /srv/scratch
mount --rbind "$1" {PROJECT}
mount --rbind "$2" {PYTHON}
shift 2
cd {HOME}
exec "$@"
"""

#: Days of predictions are small: so many rows are enough to act upon. The archive grows old, its journals stay.
SETTINGS = """\
[tracking]
experiment = "iris"
[journal]
keep_days = 0
[serving]
log_seconds = 0.5
[monitoring]
min_rows = 50
act_rows = 100
"""

CELLS = [
    "%load_ext mlops_workbench",
    """\
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from mlops_workbench import feedback, log, log_dataset, log_figure, log_model, log_table, predict, tag

X, y = load_iris(return_X_y=True, as_frame=True)
y = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=50, random_state=0, stratify=y)
""",
    """\
%%track baseline
model = DummyClassifier(strategy="constant", constant="versicolor").fit(X_train, y_train)
accuracy = accuracy_score(y_test, model.predict(X_test))
log_model(model, X=X_test, y=y_test)
""",
    """\
%%track logistic
C = 0.5
model = LogisticRegression(C=C, max_iter=500).fit(X_train, y_train)
accuracy = accuracy_score(y_test, model.predict(X_test))
for step in range(1, 31):
    log(loss=1 / step, step=step)
log_dataset(X_train, "flowers", snapshot=True)
log_table(pd.DataFrame({"kind": model.classes_, "rows": y_test.value_counts()[model.classes_].to_numpy()}), "kinds")
figure, axes = plt.subplots(figsize=(3, 2))
axes.scatter(X_test.iloc[:, 2], X_test.iloc[:, 3])
log_figure(figure, "petals.png")
plt.close(figure)
tag(team="botany")
log_model(model, X=X_test, y=y_test)
print("50 flowers of three kinds")
""",
    """\
%%track "Größe & Länge der Blätter" --note "nur zwei Spalten"
model = LogisticRegression(max_iter=500).fit(X_train.iloc[:, :2], y_train)
accuracy = accuracy_score(y_test, model.predict(X_test.iloc[:, :2]))
""",
    """\
%%track search
found = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.01, 1.0, 100.0]}, cv=3).fit(X_train, y_train)
""",
    """\
%%track broken
raise ValueError("no such flower: Tulpe")
""",
    # Version 1 serves on the first day, version 2, which the pipeline publishes, on the two after it.
    "%mlops register baseline --as iris --alias champion",
    "%mlops deploy iris@champion",
    """feedback("iris", predict("iris", X, event_time="2024-05-01T12:00:00Z"), y)""",
    "%mlops pipeline run iris -p C=0.5",
    "%mlops deploy iris@champion",
    "%mlops monitor iris --window day --metric accuracy --off",
    """\
bigger = X + 1.5
for day in (2, 3):
    feedback("iris", predict("iris", bigger, event_time=f"2024-05-0{day}T12:00:00Z"), y)
""",
]

PIPELINE = """\
version: 1
experiment: iris
params:
  C: {type: float, default: 1.0, help: strength of the fit}
stages:
  prepare:
    notebook: prepare.ipynb
    outputs: {flowers: flowers.csv}
  train:
    notebook: train.ipynb
    params: [C]
    inputs: {flowers: prepare.flowers}
publish: {stage: train, as: iris, alias: champion, gate: ["accuracy >= 0.9", "accuracy >= champion.accuracy"]}
"""

STAGES = {
    "prepare": (
        'flowers: str = ""',
        """\
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True, as_frame=True)
X.assign(kind=y.map({0: "setosa", 1: "versicolor", 2: "virginica"})).to_csv(flowers, index=False)
""",
    ),
    "train": (
        'C: float = 1.0\nflowers: str = ""',
        """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from mlops_workbench import log, log_model
table = pd.read_csv(flowers)
X, y = table.drop(columns="kind"), table["kind"]
model = LogisticRegression(C=C, max_iter=500).fit(X, y)
log(accuracy=model.score(X, y))
log_model(model, X=X, y=y)
""",
    ),
}


def main(target: Path) -> None:
    """Make the workspace in namespaces of its own."""
    inside = {"PATH": f"{PYTHON}/bin:/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "LANG": "C.UTF-8", "USER": "workbench",
              "HOME": "/srv/home", "TMPDIR": "/srv/scratch", "MPLBACKEND": "agg"}  # fmt: skip
    project = Path(__file__).resolve().parents[2]
    script = PROJECT / Path(__file__).resolve().relative_to(project)
    subprocess.run(
        [*ENTER, "sh", "-ec", PREPARE, "sh", project, sys.prefix, PYTHON / "bin" / "python", script, target.resolve()],
        env=inside, check=True,
    )  # fmt: skip


def make(target: Path) -> None:
    """Make the workspace in the working folder, stop it and pack it."""
    Path("workbench.toml").write_text(SETTINGS)
    mlops("init")
    Path("pipelines").mkdir()
    Path("pipelines/iris.yaml").write_text(PIPELINE)
    for name, (parameters, source) in STAGES.items():
        nbformat.write(notebook([parameters, source], tags=["parameters"]), f"pipelines/{name}.ipynb")
    work = notebook(CELLS)
    for cell in work.cells:
        cell.metadata["tags"] = ["raises-exception"] if "%%track broken" in cell.source else []
    path = HOME / "Blüten der Iris.ipynb"
    nbformat.write(work, path)
    # Jupyter Server tells a kernel so which notebook it belongs to.
    os.environ["JPY_SESSION_NAME"] = str(path)
    NotebookClient(work, timeout=300, resources={"metadata": {"path": str(HOME)}}).execute()
    # Everything that was predicted is on disk when the endpoint has ended: one evaluation sees all of it.
    mlops("down")
    mlops("monitor", "iris")
    mlops("down")
    with tarfile.open(target, "w:xz", preset=9) as archive:
        archive.add(HOME, HOME.name, filter=packed)


def packed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what belongs to processes (ids, tokens, locks, their output); the rest belongs to nobody."""
    path = PurePosixPath(entry.name)
    if path.parts[1:3] in ((".mlops", "run"), (".mlops", "logs")) or path.suffix in (".lock", ".log"):
        return None
    if path.name == "observed.json":
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def notebook(sources: list[str], tags: list[str] | None = None) -> nbformat.NotebookNode:
    """A notebook of code cells; the first one gets the tags."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = tags or []
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})


def mlops(*words: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "mlops_workbench.cli", *words], check=True)


if __name__ == "__main__":
    (make if Path.cwd() == HOME else main)(Path(sys.argv[1]))
