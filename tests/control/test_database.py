"""The database: migrations lead to the tables, whatever state they start from."""

from __future__ import annotations

from pathlib import Path

import alembic.op
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import Base, EndpointRow
from mlops_workbench.core.errors import StorageError


def test_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'control.db'}")
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_opening_twice_keeps_what_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'control.db'}"
    first = Database(url)
    with first.session() as session:
        session.add(EndpointRow(name="e", model="m@champion", version=1))
    first.close()
    second = Database(url)
    with second.session() as session:
        assert session.get(EndpointRow, "e") is not None
    second.close()


def test_a_migration_that_was_cut_short_is_done_by_the_next_start(
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


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'control.db'}")
    with pytest.raises(RuntimeError), database.session() as session:
        session.add(EndpointRow(name="e", model="m@champion", version=1))
        raise RuntimeError
    with database.session() as session:
        assert session.get(EndpointRow, "e") is None
    database.close()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/x.db", "nonsense://x", "postgresql://u:secret@127.0.0.1:9/x"])
def test_a_database_that_does_not_work_is_named_without_its_password(url: str) -> None:
    with pytest.raises(StorageError) as raised:
        Database(url)
    assert "secret" not in str(raised.value)
    assert raised.value.hint
