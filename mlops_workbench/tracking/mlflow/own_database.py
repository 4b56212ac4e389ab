"""The workspace's own MLflow database: made, migrated and repaired as a whole.

MLflow creates and migrates a database in place, in some seventy steps without a common transaction; a process that
ends in between leaves a file that MLflow can neither use nor migrate. So the steps are done in a copy, whose content is
then written in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import StorageError, first_line
from mlops_workbench.core.files import cache_folder, disk_error, write_atomic
from mlops_workbench.tracking.mlflow.errors import begin_again_hint
from mlops_workbench.tracking.sqlite import copy_database, is_damaged, keep_database, write_over

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

#: Columns of MLflow's tables that hold absolute places of artifacts.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
#: What ends the folder of a workspace's artifacts in them.
_MARK = "/.mlops/artifacts/"
#: Tables with what users made; every database has one experiment.
_CONTENT = (
    ("runs", ""),
    ("experiments", "WHERE experiment_id <> 0"),
    ("registered_models", ""),
    ("logged_models", ""),
    ("trace_info", ""),
)
#: Bytes of the digest before an empty database in the cache.
_DIGEST = 32
#: Files that SQLite keeps beside a database.
_BESIDE = ("-wal", "-shm", "-journal")


def prepare_database(database: Path, artifacts: str) -> None:
    """Create the database, or bring it to the schema of the installed MLflow; the caller holds a lock.

    A database of another schema is copied beside itself before. One whose creation or migration was cut short, by
    this or an earlier version, is made again: empty when it holds nothing, else from the copy before the migration.
    A database of a later MLflow is left as it is.

    Parameters
    ----------
    database : Path
        ``mlflow.db``.
    artifacts : str
        URI of the workspace's artifacts, to which places of a workspace that was moved are corrected.

    Raises
    ------
    StorageError
        The database is damaged, in use by another program, or cannot be written.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        _prepare(database, artifacts)
    except (sqlite3.Error, SQLAlchemyError, OSError) as error:
        # The driver's message, without the statement and link that SQLAlchemy adds.
        reason = getattr(error, "orig", None) or error
        if not is_damaged(reason) and (disk := disk_error(error, database.parent)) is not None:
            raise disk from error
        raise StorageError(
            f"the tracking database cannot be used: {reason}",
            where=str(database),
            hint=begin_again_hint(f"sqlite:///{database}")
            if is_damaged(reason)
            else "check that the workspace is writable and no other program migrates it",
        ) from error


def place_default_experiment(database: Path, location: str | None) -> None:
    """Set the place of the default experiment's artifacts."""
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location=? WHERE experiment_id=0", (location,))


def _prepare(database: Path, artifacts: str) -> None:
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    revision, tables = _schema(database)
    scripts = ScriptDirectory.from_config(utils._get_alembic_config(""))
    if not tables:
        _fill_empty(database)
    elif revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        return
    elif revision != scripts.get_current_head():
        _migrate(database, revision)
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        # WAL does not block readers during a write; it is a property of the file, which MLflow then uses too.
        connection.execute("PRAGMA journal_mode=WAL")
    _follow_move(database, artifacts)


def _schema(database: Path) -> tuple[str | None, set[str]]:
    """Revision of a database, None without one, and its tables."""
    if not database.exists():
        return None, set()
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        row = (
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if "alembic_version" in tables
            else None
        )
    return row[0] if row else None, tables


def _migrate(database: Path, revision: str | None) -> None:
    from alembic.util import CommandError
    from mlflow.store.db import utils
    from sqlalchemy.exc import SQLAlchemyError

    if revision is not None:
        try:
            _fill(database, utils._upgrade_db, database, revision)
            return
        except (SQLAlchemyError, CommandError) as error:
            log.warning("%s cannot be migrated: %s", database, first_line(error))
    # The creation or a migration by an earlier version may have been cut short. The file could not be used since.
    found = _content(database)
    if not any(found.values()):
        _put_aside(database)
        _fill_empty(database)
        return
    for copy in sorted(database.parent.glob(f"{database.stem}-*{database.suffix}"), reverse=True):
        try:
            if _content(copy) == found:
                _put_aside(database)
                _fill(database, utils._upgrade_db, copy)
                return
        except (SQLAlchemyError, CommandError, sqlite3.Error) as error:
            log.warning("%s cannot be migrated: %s", copy, first_line(error))
    raise StorageError(
        "the tracking database cannot be migrated, and there is no copy with the same content",
        where=str(database),
        hint="install the earlier MLflow again; or move the file away and run 'mlops up': what the journals still have"
        " is delivered again",
    )


def _content(database: Path) -> dict[str, int]:
    """Numbers of rows of what users made."""
    _, tables = _schema(database)
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM {name} {condition}").fetchone()[0]
            for name, condition in _CONTENT
            if name in tables
        }


def _put_aside(database: Path) -> None:
    aside = database.with_name(f"{database.name}.broken")
    log.warning(
        "the creation or migration of %s was cut short; it is made again, and %s is the old file", database, aside
    )
    copy_database(database, aside)


def _fill_empty(database: Path) -> None:
    """Fill a database with an empty one of the installed MLflow.

    Its seventy steps take as long as the start of the control plane; so an empty database is kept in the user's cache,
    behind its digest.
    """
    from mlflow.store.db import utils

    kept = _place_of_empty()
    content = b""
    if kept is not None:
        with contextlib.suppress(OSError):
            found = kept.read_bytes()
            content = found[_DIGEST:] if hashlib.sha256(found[_DIGEST:]).digest() == found[:_DIGEST] else b""
    if content:
        _fill(database, lambda _: None, None, content=content)
    else:
        _fill(database, utils._initialize_tables, None, kept=kept)


def _place_of_empty() -> Path | None:
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.version import VERSION

    head = ScriptDirectory.from_config(utils._get_alembic_config("")).get_current_head()
    try:
        return cache_folder() / "mlflow" / f"{VERSION}-{head}.db"
    except RuntimeError:
        # Without a home folder.
        return None


def _keep_empty(made: Path, kept: Path) -> None:
    try:
        content = made.read_bytes()
        write_atomic(kept, hashlib.sha256(content).digest() + content)
    except (StorageError, OSError) as error:
        log.info("an empty tracking database is not kept for other workspaces: %s", error)


def _fill(
    database: Path,
    steps: Callable[[Engine], None],
    source: Path | None,
    revision: str = "",
    *,
    content: bytes = b"",
    kept: Path | None = None,
) -> None:
    """Fill a database in one transaction with what `steps` make of a copy of `source`, or of an empty database.

    Parameters
    ----------
    database : Path
        The database.
    steps : callable
        Gets the engine of the copy.
    source : Path or None
        Database that is copied.
    revision : str
        Revision of the database, of which a copy is kept before; empty for none.
    content : bytes
        Content of a database that is written instead of a copy of one; empty for none.
    kept : Path, optional
        File in the cache for what was made.
    """
    from sqlalchemy import NullPool, create_engine, event

    made = database.with_name(f".{database.name}.new")
    made.unlink(missing_ok=True)
    for name in _BESIDE:
        Path(f"{made}{name}").unlink(missing_ok=True)
        if not database.exists():
            # Of a file that was deleted or moved away.
            Path(f"{database}{name}").unlink(missing_ok=True)
    if source is not None:
        copy_database(source, made)
    if content:
        made.write_bytes(content)
    engine = create_engine(f"sqlite:///{made}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # Whatever is cut short is made again, so nothing of it has to reach the disk.
        connection.execute("PRAGMA synchronous=OFF")

    steps(engine)
    engine.dispose()
    if kept is not None:
        _keep_empty(made, kept)
    if revision:
        keep_database(database, revision)
    # Programs that have the database open read the new content with their next transaction.
    write_over(made, database)
    made.unlink()


def _follow_move(database: Path, artifacts: str) -> None:
    """Correct the absolute places of artifacts after the workspace's folder was moved or copied."""
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for table, column in _PLACES:
            marked = f"instr({column}, '{_MARK}')"
            connection.execute(
                f"UPDATE {table} SET {column} = :now || substr({column}, {marked} + {len(_MARK) - 1}) "
                f"WHERE {column} LIKE 'file:%' AND {marked} > 0 "
                f"AND substr({column}, 1, {marked} + {len(_MARK) - 2}) <> :now",
                {"now": artifacts},
            )
