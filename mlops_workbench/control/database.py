"""The control plane's database, for state that MLflow cannot store."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
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
from mlops_workbench.control.leadership import AdvisoryLeadership, FileLeadership, Leadership
from mlops_workbench.core.errors import StorageError, Unavailable, first_line
from mlops_workbench.tracking.sqlite import keep_database

log = logging.getLogger("mlops_workbench.control")

MIGRATIONS = Path(__file__).parent / "migrations"

#: Seconds in which a process that has just ended gives up the lead.
_LEAD_SECONDS = 1.0
#: Seconds that a process which does not lead waits for the leader's migration.
_MIGRATION_SECONDS = 30.0


class Database:
    """Sessions on an up-to-date schema; of the processes that use a database, one leads and changes it.

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
        with contextlib.ExitStack() as on_error:
            try:
                self.engine = _engine(url)
                on_error.callback(self.engine.dispose)
                file = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
                self._backups = Backups(Path(file)) if file else None
                self._leadership: Leadership = FileLeadership(Path(file)) if file else AdvisoryLeadership(self.engine)
                on_error.callback(self._leadership.release)
                self._prepare()
            except (SQLAlchemyError, sqlite3.Error, ModuleNotFoundError, OSError) as error:
                reason = first_line(error)
                raise StorageError(
                    f"cannot open the control plane's database: {reason}",
                    where=self._shown,
                    hint="check control.database in workbench.toml; PostgreSQL needs the extra 'postgres'",
                ) from error
            on_error.pop_all()
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        # A change reads rows and then writes some, so only one may run at a time.
        self._changing = threading.Lock()
        if self._backups is not None and self.leads() and not self._backups.copies():
            self._backups.make()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session to read; see :meth:`change` for the other use."""
        with self._sessions() as session:
            yield session
            assert not (session.new or session.dirty or session.deleted), "changes need Database.change"

    @contextmanager
    def change(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls back if the block raises; one at a time.

        What the block reads is still true when it is committed: no other thread or process changes the database
        meanwhile. After a change of what users decided, a file is copied: see :class:`Backups`.

        Raises
        ------
        Unavailable
            Another process leads.
        """
        changed: list[bool] = []
        with self._changing:
            self.check_leads()
            with self._sessions.begin() as session:
                if self._backups is not None:
                    event.listen(session, "before_flush", lambda *_: changed.append(_is_decision(session)))
                yield session
            if self._backups is not None and any(changed):
                self._backups.make()

    def leads(self) -> bool:
        """Whether this process leads, which it does from when no other one does; False without an answer."""
        try:
            return self._leadership.holds()
        except (SQLAlchemyError, OSError) as error:
            log.warning("%s: cannot ask who leads: %s", self._shown, first_line(error))
            return False

    def check_leads(self) -> None:
        """Raise `Unavailable` unless this process leads."""
        if not self.leads():
            raise Unavailable(
                "this control plane stands by and changes nothing",
                where=self._shown,
                hint=f"{self.leader() or 'another one'} uses the same database: send the request to that one",
            )

    def leader(self) -> str:
        """Which process leads, as text; empty when unknown."""
        return self._leadership.leader()

    def close(self) -> None:
        """Close the connections, and let another process lead."""
        self._leadership.release()
        self.engine.dispose()

    def _prepare(self) -> None:
        deadline = time.monotonic() + _LEAD_SECONDS
        while not self._leadership.holds():
            if time.monotonic() > deadline:
                self._wait_for_schema()
                return
            time.sleep(0.1)
        if self._backups is not None and (notice := self._backups.check()):
            log.warning("%s", notice)
            self.notice = notice
        self._migrate()

    def _wait_for_schema(self) -> None:
        """Wait until the schema is the one of this version: the process that leads may be making it."""
        deadline = time.monotonic() + _MIGRATION_SECONDS
        head = ScriptDirectory.from_config(_config()).get_current_head()
        while self._revision() != head:
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{self.leader() or 'another control plane'} uses this database with another schema",
                    where=self._shown,
                    hint="stop it, or install its version of the workbench here",
                )
            time.sleep(0.2)

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def _migrate(self) -> None:
        config = _config()
        scripts = ScriptDirectory.from_config(config)
        found = self._revision()
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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _is_decision(session: Session) -> bool:
    """Whether a flush changes more than what is computed again from the prediction log or read from MLflow."""
    if session.new or session.deleted:
        return True
    computed = {"windows", "evaluated_ms", "stored"}
    return any(
        attribute.history.has_changes()
        for row in session.dirty
        for attribute in inspect(row).attrs
        if attribute.key not in computed
    )


def _engine(url: str) -> Engine:
    # A connection may have ended with the server's last restart.
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: Any) -> None:
            # WAL does not block readers during a write; FULL keeps commits through a power failure.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=20000")
            connection.execute("PRAGMA foreign_keys=ON")
            # REPLACE calls the trigger that refuses to delete an entry of the audit trail.
            connection.execute("PRAGMA recursive_triggers=ON")

    return engine
