"""The control plane's database, for state that MLflow cannot store."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from mlops_workbench.control.backups import Backups
from mlops_workbench.core.errors import StorageError
from mlops_workbench.tracking.sqlite import keep_database

log = logging.getLogger("mlops_workbench.control")

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

    Attributes
    ----------
    is_new : bool
        Whether it had no tables before.
    notice : str
        What was wrong with the file and how it was recovered, empty for nothing.
    """

    def __init__(self, url: str) -> None:
        self.is_new = False
        self.notice = ""
        if url.startswith(("postgresql://", "postgres://")):
            url = "postgresql+psycopg://" + url.split("://", 1)[1]
        self._shown = url.rsplit("@", 1)[-1]
        try:
            self.engine = _engine(url)
            file = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
            self._backups = Backups(Path(file)) if file else None
            if self._backups is not None and (notice := self._backups.check()):
                log.warning("%s", notice)
                self.notice = notice
            self._migrate()
        except (SQLAlchemyError, sqlite3.Error, ModuleNotFoundError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"cannot open the control plane's database: {reason}",
                where=self._shown,
                hint="check control.database in workbench.toml; PostgreSQL needs the extra 'postgres'",
            ) from error
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        if self._backups is not None and not self._backups.copies():
            self._backups.make()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls back if the block raises.

        After a change of what users decided, a file is copied: see :class:`Backups`.
        """
        changed: list[bool] = []
        with self._sessions.begin() as session:
            if self._backups is not None:
                event.listen(session, "before_flush", lambda *_: changed.append(_is_decision(session)))
            yield session
        if self._backups is not None and any(changed):
            self._backups.make()

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
        self.is_new = found is None
        if found is not None and self.engine.dialect.name == "sqlite" and self.engine.url.database:
            keep_database(Path(self.engine.url.database), found)
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                # Python's driver starts no transaction for CREATE TABLE: a kill between two of them would leave an
                # incomplete schema without a version.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_decision(session: Session) -> bool:
    """Whether a flush changes more than what is computed again from the prediction log."""
    if session.new or session.deleted:
        return True
    computed = {"windows", "evaluated_ms"}
    return any(
        attribute.history.has_changes()
        for row in session.dirty
        for attribute in inspect(row).attrs
        if attribute.key not in computed
    )


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
