"""Fixtures that every test can use."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forked_planes import ForkedPlanes
from hypothesis import settings
from kernels import Kernel, Records

from mlops_workbench.capture.kernel.notices import _shown
from mlops_workbench.capture.session import session as session_module
from mlops_workbench.capture.session.session import Session
from mlops_workbench.client import launch
from mlops_workbench.core.workspace import Workspace

# A machine that is busy with other work is slow, and no test is about time.
settings.register_profile("any machine", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.load_profile("any machine")

# A shell without job control ignores interrupts in what it starts in the background, and processes of tests would
# inherit that: those that a test interrupts would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Whether the test that runs may start Python processes.
_may_start = True


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and not _may_start and "python" in str(arguments[0]):
        raise RuntimeError("this test starts a process: give it the mark 'process'")


sys.addaudithook(_refuse_processes)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the parameters that `some` leaves out, before the choice by marks; put what takes long first."""
    seen: Counter[str] = Counter()
    for item in items:
        some = item.get_closest_marker("some")
        if some is not None:
            name = item.nodeid.partition("[")[0]
            if seen[name] % some.args[0]:
                item.add_marker("long")
            seen[name] += 1
    # What is quick fills the end, where one of two workers would wait for the other.
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("browser", "process")])


def pytest_collection_finish() -> None:
    """What is imported and collected stays: the collector of garbage need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the order of the tests, and let one worker have all that use a browser, which share what fills the page."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "browser" if file.startswith("tests/browser/") else file

    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Keep the marks true: what is not marked starts no Python process, so that `make test-fast` stays fast."""
    global _may_start
    _may_start = any(item.get_closest_marker(name) for name in ("process", "browser", "long"))
    try:
        return (yield)
    finally:
        _may_start = True


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's settings, default workspace or what is remembered between sessions."""
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
    cache = tmp_path_factory.mktemp("cache-home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (cache / "mlops-workbench").mkdir()
    # The empty database of MLflow, whose making takes a second of each of hundreds of tests.
    session = tmp_path_factory.getbasetemp()
    shared = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "empty databases"
    shared.mkdir(exist_ok=True)
    (cache / "mlops-workbench" / "mlflow").symlink_to(shared, target_is_directory=True)
    # The key that signs models.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config-home")))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # Hundreds of tests register a model; each would start a process that imports scikit-learn.
    monkeypatch.setenv("MLOPS_SERVING_SPARE_PROCESS", "false")
    monkeypatch.setenv("MLOPS_GATES_PROVE_ON_REGISTER", "false")
    # Each workspace has servers for its kernels; those of hundreds of tests would use the memory and the processor.
    monkeypatch.setenv("MLOPS_PIPELINES_WARM_MINUTES", "0.5")


@pytest.fixture(scope="session")
def planes() -> Iterator[ForkedPlanes]:
    started = ForkedPlanes()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _forked_planes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, planes: ForkedPlanes) -> None:
    """Control planes that this process starts import nothing; kernels and commands start them as they do for users."""
    if request.node.get_closest_marker("own_process") is None:
        monkeypatch.setattr(launch, "_spawn", planes.spawn)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A fresh workspace in a folder with a space and a non-ASCII letter in its name."""
    folder = tmp_path / "my wörkspace"
    folder.mkdir()
    yield Workspace.init(folder)


@pytest.fixture
def session(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """The session of this process, as if it had just been started in the workspace."""
    monkeypatch.setenv("MLOPS_WORKSPACE", str(workspace.root))
    _shown.clear()
    fresh = Session()
    monkeypatch.setattr(session_module, "_session", fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def records(workspace: Workspace) -> Records:
    return Records(workspace.root)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for the tests of a module, in a folder with a space and a non-ASCII letter."""
    root = tmp_path_factory.mktemp("arbeit mit kernen ü")
    Workspace.init(root)
    started = Kernel(root)
    yield started
    started.close()


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty MLflow database to copy: making one takes seconds."""
    from mlops_workbench.tracking import TrackingStore

    template = Workspace.init(tmp_path_factory.mktemp("mlflow-template"))
    TrackingStore(template).ping()
    path = template.state / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # Each copy is a store of its own.
    connection.execute("DELETE FROM experiment_tags")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def stored_workspace(workspace: Workspace, mlflow_database: Path) -> Workspace:
    """A fresh workspace whose MLflow database is ready."""
    shutil.copyfile(mlflow_database, workspace.state / "mlflow.db")
    return workspace


@pytest.fixture(autouse=True)
def _no_experiment_of_another_test() -> Iterator[None]:
    """MLflow notes the experiment that was set in the environment, where later tests would find it."""
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    yield
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture(autouse=True, scope="module")
def _no_files_of_another_test() -> Iterator[None]:
    """MLflow keeps the connections to every database that it has ever opened; `select` takes no file beyond 1,023."""
    yield
    stores: Any = sys.modules.get("mlflow.store.tracking.sqlalchemy_store")
    for engine in list(stores.SqlAlchemyStore._engine_map.values()) if stores is not None else ():
        engine.dispose()
