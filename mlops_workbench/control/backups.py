"""Copies of an SQLite database: made after each change of what users decided, restored when it is damaged or gone."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from mlops_workbench.core.ids import now_ms
from mlops_workbench.tracking.sqlite import copy_database, is_damaged, put_database_aside

log = logging.getLogger("mlops_workbench.control")

_NO_TABLES = "no tables"
#: Number of copies that are kept.
KEPT = 5


class Backups:
    """The copies of one database, in the folder ``backups`` beside it.

    Parameters
    ----------
    file : Path
        The database.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder = file.parent / "backups"
        self._lock = threading.Lock()

    def make(self) -> None:
        """Copy the database, and delete the oldest copies; a failure is logged."""
        with self._lock:
            copy = self._folder / f"{self._file.stem}-{now_ms():013d}{self._file.suffix}"
            unfinished = self._folder / f"{self._file.stem}.tmp"
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                copy_database(self._file, unfinished)
                if problem := _damage(unfinished):
                    # The older copies are better than this one.
                    log.error("%s is damaged and not copied: %s", self._file, problem)
                    return
                os.replace(unfinished, copy)
                for old in self.copies()[KEPT:]:
                    old.unlink(missing_ok=True)
            except (sqlite3.Error, OSError) as error:
                log.warning("%s cannot be copied: %s", self._file, error)
            finally:
                unfinished.unlink(missing_ok=True)

    def copies(self) -> list[Path]:
        """All copies, newest first."""
        return sorted(self._folder.glob(f"{self._file.stem}-*{self._file.suffix}"), reverse=True)

    def check(self) -> str:
        """Restore the database from its newest good copy when it is damaged, empty or missing.

        Returns
        -------
        str
            What was wrong and what was done; empty when the database is as it should be, or new.

        Raises
        ------
        sqlite3.Error, OSError
            The file cannot be read, or the copy not be written.
        """
        wrong = self._wrong()
        if not wrong or (wrong == "missing" and not self.copies()):
            return ""
        aside = ""
        if wrong != "missing":
            aside = f"; the old file is {put_database_aside(self._file).name}"
        for copy in self.copies():
            if not _damage(copy):
                copy_database(copy, self._file)
                moment = datetime.fromtimestamp(copy.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                return f"{self._file.name} was {wrong} and is restored from the copy of {moment}{aside}"
        return f"{self._file.name} was {wrong}, and there was no good copy{aside}"

    def _wrong(self) -> str:
        if not os.path.lexists(self._file) or (self._file.is_file() and not self._file.stat().st_size):
            for name in ("-wal", "-shm", "-journal"):
                # Of the file that was here before.
                Path(f"{self._file}{name}").unlink(missing_ok=True)
            return "missing"
        problem = _damage(self._file)
        # A first start may end before it has made tables.
        return "missing" if problem == _NO_TABLES else "damaged" if problem else ""


def _damage(file: Path) -> str:
    """What is wrong with the content of a database, empty for nothing."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error as error:
        if not is_damaged(error, file):
            raise
        return str(error)
    if found != "ok":
        return found
    return "" if tables else _NO_TABLES
