"""The database: migrations lead to the tables, whatever state they start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

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
