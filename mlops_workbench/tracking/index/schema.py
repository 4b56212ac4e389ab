"""Tables of the read index. The file is a cache: one of another version is deleted and rebuilt."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import disk_error, put_aside

#: To be incremented with every change of the tables below.
SCHEMA_VERSION = 9
#: Hint of errors about the file.
REBUILD_HINT = "delete the file: it is a cache, and is rebuilt from the journals"

_SCHEMA = """
CREATE TABLE state (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
-- `store` identifies the MLflow of the ids and of the runs of others.
INSERT INTO state VALUES ('revision', 0), ('restored', 0), ('series', 0), ('points', 0), ('store', '');

CREATE TABLE cursors (
    file TEXT PRIMARY KEY, offset INTEGER NOT NULL, sequence INTEGER NOT NULL, done INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    session TEXT PRIMARY KEY, pid INTEGER NOT NULL, process_started REAL NOT NULL, host TEXT NOT NULL,
    user TEXT NOT NULL DEFAULT '',
    due_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, ended INTEGER NOT NULL, gone INTEGER NOT NULL
) WITHOUT ROWID;

-- A row is inserted with the first record of a run. `started` is 1 once its RunStart was read, and -1 if it was deleted
-- in MLflow. `origin` is empty for journalled runs, 'mlflow' for those that were read from MLflow.
CREATE TABLE runs (
    uid TEXT PRIMARY KEY, started INTEGER NOT NULL DEFAULT 0, run_id TEXT NOT NULL DEFAULT '',
    experiment TEXT NOT NULL DEFAULT '', name TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL DEFAULT 'run',
    status TEXT NOT NULL DEFAULT 'RUNNING', start_ms INTEGER NOT NULL DEFAULT 0, end_ms INTEGER NOT NULL DEFAULT 0,
    last_ms INTEGER NOT NULL DEFAULT 0, parent_uid TEXT NOT NULL DEFAULT '', notebook TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '', reaped INTEGER NOT NULL DEFAULT 0, user TEXT NOT NULL DEFAULT '',
    origin TEXT NOT NULL DEFAULT '',
    -- The last start of a run that was resumed, and the sessions that wrote this start and the end.
    resumed_ms INTEGER NOT NULL DEFAULT 0, resumed_by TEXT NOT NULL DEFAULT '', ended_by TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX runs_by_start ON runs (start_ms, uid);
CREATE INDEX runs_by_experiment ON runs (experiment, start_ms);
CREATE INDEX runs_by_parent ON runs (parent_uid) WHERE parent_uid <> '';
CREATE INDEX runs_by_name ON runs (name, start_ms);
CREATE INDEX runs_open ON runs (uid) WHERE status = 'RUNNING';
CREATE INDEX runs_by_run_id ON runs (run_id) WHERE run_id <> '';
CREATE INDEX runs_undelivered ON runs (uid) WHERE run_id = '';

CREATE TABLE run_texts (
    uid TEXT PRIMARY KEY, source TEXT NOT NULL DEFAULT '', output TEXT NOT NULL DEFAULT '',
    traceback TEXT NOT NULL DEFAULT ''
);
CREATE TABLE run_sessions (uid TEXT, session TEXT, PRIMARY KEY (uid, session)) WITHOUT ROWID;
CREATE INDEX run_sessions_by_session ON run_sessions (session);

CREATE TABLE params (uid TEXT, name TEXT, value TEXT NOT NULL, number REAL, PRIMARY KEY (uid, name)) WITHOUT ROWID;
CREATE INDEX params_by_value ON params (name, value);
-- Parameters that have the default value of the estimator's class.
CREATE TABLE defaults (uid TEXT, name TEXT, PRIMARY KEY (uid, name)) WITHOUT ROWID;
CREATE INDEX params_by_number ON params (name, number, value);
CREATE TABLE tags (uid TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (uid, name)) WITHOUT ROWID;
CREATE INDEX tags_by_value ON tags (name, value);
-- Last value of each metric: that of the highest (step, time, value). See IndexedValue for `value` and `text`.
CREATE TABLE metrics (
    uid TEXT, name TEXT, step INTEGER NOT NULL, at_ms INTEGER NOT NULL, value REAL, text TEXT,
    points INTEGER NOT NULL, series INTEGER NOT NULL, PRIMARY KEY (uid, name)
) WITHOUT ROWID;
CREATE INDEX metrics_by_value ON metrics (name, value, uid);
-- Points of a series, those of one step and time in order of reading.
CREATE TABLE points (
    series INTEGER, step INTEGER, at_ms INTEGER, ordinal INTEGER, value REAL, text TEXT,
    PRIMARY KEY (series, step, at_ms, ordinal)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    uid TEXT, path TEXT, size INTEGER NOT NULL, media_type TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (uid, path)
) WITHOUT ROWID;
CREATE TABLE models (
    model_uid TEXT PRIMARY KEY, uid TEXT NOT NULL, name TEXT NOT NULL, estimator TEXT NOT NULL, format TEXT NOT NULL,
    model_id TEXT NOT NULL DEFAULT '', at_ms INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE INDEX models_by_run ON models (uid, name);
CREATE INDEX models_undelivered ON models (model_uid) WHERE model_id = '';
CREATE TABLE datasets (
    uid TEXT, name TEXT, context TEXT, digest TEXT, rows INTEGER NOT NULL, columns INTEGER NOT NULL,
    covers TEXT NOT NULL DEFAULT 'content', snapshot TEXT NOT NULL DEFAULT '', schema TEXT NOT NULL DEFAULT '',
    profile TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (uid, name, context, digest)
) WITHOUT ROWID;
CREATE INDEX datasets_by_digest ON datasets (digest);
CREATE INDEX datasets_kept ON datasets (digest, covers, snapshot) WHERE snapshot <> '';

-- Executions of cells, in order of the rowid within a session.
CREATE TABLE cells (
    cell_uid TEXT PRIMARY KEY, session TEXT NOT NULL, count INTEGER NOT NULL, cell_id TEXT NOT NULL,
    status TEXT NOT NULL, started_ms INTEGER NOT NULL, duration_us INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE INDEX cells_by_session ON cells (session, started_ms);
CREATE TABLE provenance (uid TEXT PRIMARY KEY, cells TEXT NOT NULL, warnings TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE changes (topic TEXT, id TEXT, revision INTEGER NOT NULL, PRIMARY KEY (topic, id)) WITHOUT ROWID;
CREATE INDEX changes_by_revision ON changes (revision);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the index for one thread, and create it when it is missing.

    Raises
    ------
    StorageError
        The file cannot be created, or is not an index of this version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            # LIKE is case-sensitive and ILIKE is not, as in MLflow's filter language.
            connection.execute("PRAGMA case_sensitive_like=ON")
            _create_tables(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise disk_error(error, path.parent) or StorageError(
            f"cannot open the read index: {error}", where=str(path), hint=REBUILD_HINT
        ) from error
    return connection


def remove(path: Path) -> None:
    """Delete the index with its side files."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        file = path.with_name(name)
        if file.is_dir():
            # No file of ours; it is kept.
            put_aside(file)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found == 0 and tables == 0:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif found != SCHEMA_VERSION:
            raise StorageError(
                f"the read index has version {found}, this program needs version {SCHEMA_VERSION}",
                where=str(path),
                hint=REBUILD_HINT,
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
