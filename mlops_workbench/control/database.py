"""The control plane's database, for state that MLflow cannot store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from mlops_workbench.core.errors import StorageError
from mlops_workbench.tracking.sqlite import keep_database

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Sessions on an up-to-date schema.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; ``postgresql://`` uses the psycopg driver (extra ``postgres``).

    Raises
    ------
    StorageError
        The database cannot be reached or migrated.
    """

    def __init__(self, url: str) -> None:
        if url.startswith(("postgresql://", "postgres://")):
            url = "postgresql+psycopg://" + url.split("://", 1)[1]
        self._shown = url.rsplit("@", 1)[-1]
        try:
            self.engine = _engine(url)
            self._migrate()
        except (SQLAlchemyError, ModuleNotFoundError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"cannot open the control plane's database: {reason}",
                where=self._shown,
                hint="check control.database in workbench.toml; PostgreSQL needs the extra 'postgres'",
            ) from error
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls back if the block raises."""
        with self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)
        with self.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found == scripts.get_current_head():
            return
        if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
            raise StorageError(
                f"the control plane's database is of a newer version (schema {found})",
                where=self._shown,
                hint="install that version again, or replace the database by the copy that was kept beside it",
            )
        if found is not None and self.engine.dialect.name == "sqlite" and self.engine.url.database:
            keep_database(Path(self.engine.url.database), found)
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                # Python's driver starts no transaction for CREATE TABLE: a kill between two of them would leave an
                # incomplete schema without a version.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: Any) -> None:
            # WAL does not block readers during a write; FULL keeps commits through a power failure.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=20000")
            connection.execute("PRAGMA foreign_keys=ON")

    return engine
