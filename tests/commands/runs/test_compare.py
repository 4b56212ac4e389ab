"""``mlops compare`` with names: runs are chosen by the control plane, however old they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_workbench.capture.session.session import Session
from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process


class Place:
    """A frontend with an experiment in use."""

    def __init__(self, workspace: Workspace, experiment: str | None) -> None:
        self.workspace = workspace
        self._experiment = experiment

    def client(self) -> Client:
        return Client.connect(self.workspace)

    def experiment(self) -> str | None:
        return self._experiment


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[Workspace]:
    """Two experiments with runs of the same names, and many runs since."""
    root = tmp_path_factory.mktemp("vergleich") / "mein Ordner ü"
    root.mkdir()
    workspace = Workspace.init(root)
    (workspace.state / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    session = Session(workspace)
    for experiment, depth in (("old", 1), ("new", 5)):
        for name in ("tree", "tree", "net/große", "single"):
            depth += 1
            started = session.start_run(name, experiment=experiment)
            started.log_params(depth=depth)
            started.end()
    for number in range(30):
        session.start_run(f"trial {number}", experiment="old").end()
    session.close()
    yield workspace
    try:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
    finally:
        address = read_address(workspace)
        if address is not None:
            address.process.stop(grace=20)


@pytest.fixture(scope="module")
def say(home: Workspace) -> Callable[..., View]:
    def speak(*words: str, experiment: str | None = None) -> View:
        view = run(words, Place(home, experiment), prog="%mlops")  # type: ignore[arg-type]
        assert view is not None
        return view

    return speak


def depths(view: View) -> list[str]:
    return [found.params["depth"] for found in view.data]


def test_one_name_compares_its_last_runs_even_after_many_others(say: Callable[..., View]) -> None:
    assert depths(say("compare", "tree", "-e", "old")) == ["3", "2"]
    assert depths(say("compare", "tree", experiment="new")) == ["7", "6"]
    assert depths(say("compare", "tree")) == ["7", "6", "3", "2"]
    assert depths(say("compare", "tree", "-n", "3")) == ["7", "6", "3"]
    for one in ("single", "net/große"):
        with pytest.raises(InvalidInput, match="only one run"):
            say("compare", one, "-e", "old")
    with pytest.raises(NotFound, match="'trial 3' in experiment 'new'"):
        say("compare", "trial 3", "-e", "new")


def test_names_are_those_of_the_experiment_that_is_given_or_in_use(say: Callable[..., View]) -> None:
    assert depths(say("compare", "tree", "net/große", "-e", "old")) == ["3", "4"]
    assert depths(say("compare", "tree", "single", experiment="old")) == ["3", "5"]
    assert depths(say("compare", "tree", "single", "-e", "new", experiment="old")) == ["7", "9"]
    assert depths(say("compare", "tree", "single")) == ["7", "9"]


def test_the_control_plane_chooses_runs_by_their_exact_name(home: Workspace) -> None:
    with Client.connect(home) as client:
        assert [found.name for found in client.runs(name="net/große")] == ["net/große"] * 2
        assert [found.experiment for found in client.runs("old", name="tree")] == ["old", "old"]
        assert client.runs(name="Tree") == [] == client.runs(name="tre%")
        assert client.run("net/große").run.params["depth"] == "8"
        assert client.run("net/große", "old").run.params["depth"] == "4"
