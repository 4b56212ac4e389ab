"""The workspace's own MLflow database is whole or absent, wherever its creation or migration is cut short."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from recorder import Recorder

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest, TrackingStore
from mlops_workbench.tracking.mlflow.own_database import prepare_database
from mlops_workbench.tracking.sqlite import copy_database

pytestmark = pytest.mark.process

#: Ends the process, as a kill does, at a statement of the database that it works on.
CUT = """
import os, sys
from pathlib import Path
from sqlalchemy import Engine, event
left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
"""
#: By this version.
PREPARE = """
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import TrackingStore
TrackingStore(Workspace.open(Path(sys.argv[1]))).ping()
"""
#: In place, as MLflow and version 0.1 of the workbench did.
IN_PLACE = """
from mlflow.store.db import utils
database = Path(sys.argv[1]) / ".mlops" / "mlflow.db"
database.parent.mkdir(exist_ok=True)
engine = utils.create_sqlalchemy_engine(f"sqlite:///{database}")
(utils._upgrade_db if sys.argv[3:] else utils._initialize_tables)(engine)
"""
#: Delivers, and prints the names of the runs that plain MLflow has.
DELIVERED = """
import sys
from pathlib import Path
from mlflow import MlflowClient
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking import Ingest
with Ingest(Workspace.open(Path(sys.argv[1]))) as ingest:
    ingest.drain()
    print(*sorted(run.info.run_name for run in MlflowClient(ingest.store.uri).search_runs(["0", "1"])))
"""


def cut(script: str, root: Path, statement: int, *words: str) -> int:
    """Run a script without a cache, that ends at a statement; gives its exit code."""
    call = [sys.executable, "-c", CUT + script, str(root), str(statement), *words]
    environment = {**os.environ, "XDG_CACHE_HOME": str(root / "no cache")}
    return subprocess.run(call, check=False, capture_output=True, timeout=120, env=environment).returncode


def deliver(workspace: Workspace, name: str) -> None:
    """Deliver a run, and find it with plain MLflow."""
    uid = Recorder(workspace).start(name)
    with Ingest(workspace) as ingest:
        ingest.drain(uid)
        run_id = ingest.index.find(uid).run_id
        assert MlflowClient(ingest.store.uri).get_run(run_id).info.run_name == name


def downgrade(workspace: Workspace, steps: int) -> None:
    from alembic import command
    from mlflow.store.db import utils

    command.downgrade(utils._get_alembic_config(f"sqlite:///{workspace.state / 'mlflow.db'}"), f"-{steps}")


def schema(database: Path) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        # MLflow's steps write the values of a constraint in the order of a set.
        tables = [(name, *sorted(re.findall(r"\w+", sql or ""))) for name, sql in found]
        return [*tables, *connection.execute("SELECT * FROM alembic_version")]


def test_an_empty_database_is_made_once_and_is_that_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.db import utils

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = utils.create_sqlalchemy_engine(f"sqlite:///{tmp_path / 'own.db'}")
    utils._initialize_tables(own)
    own.dispose()
    prepare_database(tmp_path / "first.db", "file:///a")
    made = utils._initialize_tables
    monkeypatch.setattr(utils, "_initialize_tables", None)
    prepare_database(tmp_path / "second.db", "file:///a")
    for name in ("first", "second"):
        assert schema(tmp_path / f"{name}.db") == schema(tmp_path / "own.db")

    # What is no whole, empty database of this MLflow is not used, and is replaced.
    [kept] = (tmp_path / "cache" / "mlops-workbench" / "mlflow").iterdir()
    whole = kept.read_bytes()
    monkeypatch.setattr(utils, "_initialize_tables", made)
    changed = whole[:-1000] + bytes(1000)
    for number, content in enumerate((b"", whole[: len(whole) // 2], whole[32:], changed, b"no database" * 1000)):
        kept.write_bytes(content)
        prepare_database(tmp_path / f"{number}.db", "file:///a")
        assert schema(tmp_path / f"{number}.db") == schema(tmp_path / "own.db")
        monkeypatch.setattr(utils, "_initialize_tables", None)
        prepare_database(tmp_path / f"{number}-again.db", "file:///a")
        monkeypatch.setattr(utils, "_initialize_tables", made)

    # Without a place for it.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own.db"))
    prepare_database(tmp_path / "third.db", "file:///a")
    assert schema(tmp_path / "third.db") == schema(tmp_path / "own.db")


@pytest.mark.some(4)
@pytest.mark.parametrize("statement", [1, 30, 100, 300])
def test_a_first_start_that_is_cut_short_is_made_good_by_the_next(workspace: Workspace, statement: int) -> None:
    assert cut(PREPARE, workspace.root, statement) == 9
    deliver(workspace, "first")


@pytest.mark.long
@pytest.mark.parametrize("statement", [1, 30, 100, 300])
def test_a_first_start_that_an_earlier_version_cut_short_is_made_good(workspace: Workspace, statement: int) -> None:
    assert cut(IN_PLACE, workspace.root, statement) == 9
    deliver(workspace, "first")


@pytest.mark.some(2)
@pytest.mark.parametrize("script", [PREPARE, IN_PLACE])
@pytest.mark.parametrize("statement", [12, 25])
def test_a_migration_that_is_cut_short_loses_nothing(stored_workspace: Workspace, script: str, statement: int) -> None:
    deliver(stored_workspace, "old")
    downgrade(stored_workspace, 6)
    if script is IN_PLACE:
        # Version 0.1 copied the file before.
        database = stored_workspace.state / "mlflow.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        copy_database(database, database.with_name(f"mlflow-{revision}.db"))
    assert cut(script, stored_workspace.root, statement, "upgrade") == 9
    deliver(stored_workspace, "new")
    client = MlflowClient(TrackingStore(stored_workspace).uri)
    assert {run.info.run_name for run in client.search_runs(["0", "1", "2"])} >= {"old", "new"}


def test_a_migration_that_fails_replaces_nothing_by_an_older_copy(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db import utils
    from sqlalchemy.exc import OperationalError

    deliver(stored_workspace, "old")
    database = stored_workspace.state / "mlflow.db"
    copy_database(database, database.with_name("mlflow-earlier.db"))
    deliver(stored_workspace, "new")
    downgrade(stored_workspace, 2)

    def fails(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("disk I/O error"))

    monkeypatch.setattr(utils, "_upgrade_db", fails)
    with pytest.raises(StorageError, match="no copy with the same content"):
        prepare_database(database, stored_workspace.artifacts.as_uri())
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    monkeypatch.undo()
    deliver(stored_workspace, "later")


def test_a_damaged_database_is_refused_with_the_way_out_and_the_index_goes_on(stored_workspace: Workspace) -> None:
    deliver(stored_workspace, "old")
    database = stored_workspace.state / "mlflow.db"
    damaged = b"no database" * 1000
    database.write_bytes(damaged)
    with pytest.raises(StorageError, match="cannot be used") as raised:
        TrackingStore(stored_workspace).ping()
    assert raised.value.hint is not None and f"mv '{database}' '{database}'.damaged; mlops up" in raised.value.hint
    Recorder(stored_workspace).start("new")
    with Ingest(stored_workspace) as ingest:
        with pytest.raises(WorkbenchError):
            ingest.drain(timeout=0.1)
        assert {ingest.index.find(name).name for name in ("old", "new")} == {"old", "new"}
    assert database.read_bytes() == damaged
    # The command of the hint works.
    database.rename(database.with_suffix(".away"))
    Recorder(stored_workspace).start("later")
    shown = subprocess.run(
        [sys.executable, "-c", DELIVERED, str(stored_workspace.root)], capture_output=True, check=True
    )
    assert shown.stdout.split() == [b"later", b"new", b"old"]
