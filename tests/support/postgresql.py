"""A PostgreSQL server for tests: a cluster of Debian's package in a folder of its own, without a port."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

#: For a test with the fixture `database_url` that takes long: with PostgreSQL only in ``make test-all``.
LONG_WITH_POSTGRESQL = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))


class Cluster:
    """A running server.

    Parameters
    ----------
    folder : Path
        Holds its data and its socket.
    owner : str
        System user that runs the server, which refuses root; empty for this one.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = folder
        self._owner = owner
        self._password = secrets.token_urlsafe(12)
        self._made = 0

    def url(self, database: str) -> str:
        """URL of a database."""
        return f"postgresql://owner:{self._password}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """URL of a new, empty database."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        engine = create_engine(self.url("postgres").replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def make(self) -> None:
        """Create the files of the cluster."""
        password = self.folder / "password"
        password.write_text(self._password)
        if self._owner:
            user = pwd.getpwnam(self._owner)
            for path in (self.folder, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._run("initdb", "-A", "scram-sha-256", "-U", "owner", f"--pwfile={password}", "--no-sync")

    def start(self) -> None:
        """Start the server."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-w", "start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """Stop the server, and end its connections."""
        self._run("pg_ctl", "-w", "stop", "-m", "immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(_PROGRAMS[-1] / program), "-D", str(self.folder / "data"), *arguments]
        if self._owner:
            command = ["runuser", "-u", self._owner, "--", *command]
        # Not a pipe, which the server would inherit and keep open.
        with (self.folder / "programs.log").open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd=self.folder, check=False)
        assert done.returncode == 0, (self.folder / "programs.log").read_text()


@contextmanager
def cluster() -> Iterator[Cluster | None]:
    """A running server; None where Debian's package is not installed."""
    if not _PROGRAMS:
        yield None
        return
    # The path of a socket is short, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    made = Cluster(folder, "postgres" if os.geteuid() == 0 else "")
    try:
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)
