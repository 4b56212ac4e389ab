"""The database: migrations create the tables from any previous state."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import alembic.op
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from mlops_workbench.control import database as database_module
from mlops_workbench.control.database import MIGRATIONS, Database
from mlops_workbench.control.tables import Base, EndpointRow
from mlops_workbench.core.errors import StorageError


def test_migrations_create_the_tables(database_url: str) -> None:
    database = Database(database_url)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_opening_a_database_again_keeps_its_rows(database_url: str) -> None:
    first = Database(database_url)
    with first.change() as session:
        session.add(EndpointRow(name="e", model="m@champion", version=1))
    first.close()
    second = Database(database_url)
    with second.session() as session:
        assert session.get(EndpointRow, "e") is not None
    second.close()


def test_an_interrupted_migration_is_repeated_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'control.db'}"
    make, made = Operations.create_table, []

    def cut_short(self: Operations, name: str, *columns: object, **options: object) -> object:
        if len(made) == 2:
            raise OSError("the process ends here")
        made.append(name)
        return make(self, name, *columns, **options)

    monkeypatch.setattr("alembic.op.create_table", lambda *args, **options: cut_short(_operations(), *args, **options))
    with pytest.raises(StorageError):
        Database(url)
    assert len(made) == 2
    monkeypatch.undo()
    database = Database(url)
    with database.session() as session:
        assert session.get(EndpointRow, "e") is None
    database.close()


def _operations() -> Operations:
    return alembic.op._proxy


def test_an_error_without_a_message_is_named_by_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Database) -> None:
        raise OSError

    monkeypatch.setattr(Database, "_prepare", fails)
    with pytest.raises(StorageError, match="database: OSError"):
        Database(f"sqlite:///{tmp_path / 'control.db'}")


def test_a_block_that_raises_changes_nothing(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(RuntimeError), database.change() as session:
        session.add(EndpointRow(name="e", model="m@champion", version=1))
        raise RuntimeError
    with database.session() as session:
        assert session.get(EndpointRow, "e") is None
    database.close()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/x.db", "nonsense://x", "postgresql://u:secret@127.0.0.1:9/x"])
def test_a_database_error_does_not_contain_the_password(url: str) -> None:
    with pytest.raises(StorageError) as raised:
        Database(url)
    assert "secret" not in str(raised.value)
    assert raised.value.hint


LATER = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9998", "0006", None, None
def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
"""


def test_a_copy_is_kept_before_a_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "control.db"
    first = Database(f"sqlite:///{file}")
    with first.change() as session:
        session.add(EndpointRow(name="e", model="m@champion", version=1))
    first.close()
    later = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (later / "versions" / "9998_later.py").write_text(LATER)
    monkeypatch.setattr(database_module, "MIGRATIONS", later)
    Database(f"sqlite:///{file}").close()
    assert [_tables(path) for path in (file, tmp_path / "control-0006.db")] == [(["e"], True), (["e"], False)]


def test_a_database_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    Database(f"sqlite:///{file}").close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer version") as refused:
        Database(f"sqlite:///{file}")
    assert refused.value.hint
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def _tables(file: Path) -> tuple[list[str], bool]:
    """Names of the endpoints, and whether the later table exists."""
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM endpoints")]
        return names, bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'later'").fetchall())
