"""The trail in both databases: no entry is changed, none is lost, and none is without its change."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mlops_workbench.control.audit import trail as trail_module
from mlops_workbench.control.audit.actors import CONTROL, acting_as, process
from mlops_workbench.control.audit.chain import FIRST, hash_of, time_text
from mlops_workbench.control.audit.trail import AuditTrail, append
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import AuditRow, EndpointRow
from mlops_workbench.core.audit import Checkpoint, Subject
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.workspace import Workspace

ODD = "a\x00b\ud800\u202e \N{GRINNING FACE} '\"\\ " + "x" * 3000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def trail(database: Database, workspace: Workspace) -> AuditTrail:
    return AuditTrail(database, workspace)


def add(database: Database, *names: str) -> None:
    for name in names:
        with database.change() as session:
            append(session, "endpoint.deploy", Subject("endpoint", name, 1), after={"version": 1})


def forge(database: Database, *statements: str, **values: object) -> None:
    """Change the table as somebody does who owns the database."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            for name in ("update", "delete", "insert"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS audit_{name}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement), values)


def test_entries_follow_each_other_and_are_found(database: Database, trail: AuditTrail) -> None:
    assert trail.verify().whole and trail.entries() == []
    with database.change() as session:
        first = append(session, "endpoint.deploy", Subject("endpoint", "e", 2), after={"version": 2})
        second = append(
            session, "model.promote", Subject("model", "m", 2), before={"champion": 1}, after={"champion": 2}
        )
    with acting_as(process("pipeline flights", "pipeline")), database.change() as session:
        third = append(session, "model.rollback", Subject("model", "m", 1), reason="worse")
    assert trail.entries() == [third, second, first]
    assert (first.seq, first.prev, first.actor) == (1, FIRST, CONTROL)
    assert (third.actor.kind, third.actor.name) == ("process", "pipeline flights")
    assert [entry.seq for entry in trail.entries("m")] == [3, 2]
    assert [entry.seq for entry in trail.entries("m", before=3)] == [2]
    assert [entry.seq for entry in trail.entries(action="model.rollback")] == [3]
    assert [entry.seq for entry in trail.entries(limit=1)] == [3]
    report = trail.verify()
    assert (report.whole, report.entries, report.first_bad, report.problems) == (True, 3, 0, [])


def test_any_text_is_stored_and_found_again(
    database: Database, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than a page of entries.
    monkeypatch.setattr(trail_module, "_PAGE", 2)
    add(database, ODD, "b", ODD, "c", "d")
    assert [entry.seq for entry in trail.entries(ODD)] == [3, 1]
    report = trail.verify()
    assert (report.whole, report.entries) == (True, 5), report.problems


REFUSED = [
    "UPDATE audit SET body = body WHERE seq = 1",
    "UPDATE audit SET action = 'x'",
    "DELETE FROM audit WHERE seq = 2",
    "DELETE FROM audit",
]


def test_the_database_refuses_to_change_an_entry(database: Database, trail: AuditTrail) -> None:
    add(database, "a", "b")
    row = "SELECT seq, at_ms, 'forged', kind, subject, version, prev, hash, body FROM audit WHERE seq = 1"
    if database.engine.dialect.name == "sqlite":
        statements = [*REFUSED, f"REPLACE INTO audit {row}", f"INSERT OR REPLACE INTO audit {row}"]
    else:
        again = "ON CONFLICT (seq) DO UPDATE SET action = 'forged'"
        statements = [*REFUSED, "TRUNCATE audit", "TRUNCATE audit CASCADE", f"INSERT INTO audit {row} {again}"]
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
            connection.execute(text(statement))
    assert trail.verify().whole and trail.verify().entries == 2


def test_replace_is_refused_to_the_connections_of_other_programs_too(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "control.db"
    database = Database(f"sqlite:///{file}")
    add(database, "a")
    row = "SELECT seq, at_ms, 'forged', kind, subject, version, prev, hash, body FROM audit"
    with closing(sqlite3.connect(file)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(f"REPLACE INTO audit {row}")
    # Without that trigger, the one for DELETE is called on connections of ours.
    with database.engine.begin() as own, pytest.raises(DBAPIError, match="append-only"):
        own.execute(text("DROP TRIGGER audit_insert"))
        own.execute(text(f"REPLACE INTO audit {row}"))
    database.close()


FORGED = "body = replace(body, '\"b\"', '\"x\"')"


@pytest.mark.parametrize(
    ("statements", "bad", "problem"),
    [
        ([f"UPDATE audit SET {FORGED} WHERE seq = 2"], 2, "entry 2: its text is not"),
        ([f"UPDATE audit SET {FORGED}, subject = 'x', hash = :forged WHERE seq = 2"], 3, "entry 3: it does not"),
        (["UPDATE audit SET subject = 'x' WHERE seq = 2"], 2, "entry 2: its column 'subject'"),
        (["UPDATE audit SET body = 'none' WHERE seq = 4"], 4, "entry 4: its text is not"),
        (["DELETE FROM audit WHERE seq = 3"], 3, "entry 3 is missing"),
        (["DELETE FROM audit WHERE seq = 1"], 1, "entry 1 is missing"),
        (
            [f"UPDATE audit SET seq = {a} WHERE seq = {b}" for a, b in ((9, 2), (2, 3), (3, 9))],
            2,
            "entry 2: it does not follow",
        ),
    ],
)  # fmt: skip
def test_what_its_owner_changes_is_found_with_the_number_of_the_entry(
    database: Database, trail: AuditTrail, statements: list[str], bad: int, problem: str
) -> None:
    add(database, "a", "b", "c", "d")
    with database.session() as session:
        row = session.get(AuditRow, 2)
        assert row is not None
        forged = hash_of(row.prev, row.body.replace('"b"', '"x"'))
    forge(database, *statements, **({"forged": forged} if ":forged" in statements[0] else {}))
    report = trail.verify()
    assert (report.whole, report.first_bad, report.entries) == (False, bad, bad - 1)
    assert report.problems[0].startswith(problem)
    if bad == 4:
        with pytest.raises(StorageError, match=r"entry 4 .* cannot be read") as refused:
            trail.entries()
        assert "verify" in str(refused.value.hint)


def test_neither_the_change_nor_its_entry_is_there_without_the_other(
    database: Database, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(name: str) -> None:
        with database.change() as session:
            session.add(EndpointRow(name=name, model="m@champion", version=1))
            append(session, "endpoint.deploy", Subject("endpoint", name, 1))
            if name == "cut short":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change("cut short")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(trail_module, "hash_of", lambda *_: 1 // 0)
        change("not recorded")
    with database.session() as session:
        assert session.get(EndpointRow, "cut short") is None and session.get(EndpointRow, "not recorded") is None
    assert trail.entries() == []
    change("done")
    assert [(entry.seq, entry.subject.name) for entry in trail.entries()] == [(1, "done")]


WRITER = """
import sys, time
from sqlalchemy import select
from sqlalchemy.orm import sessionmaker
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.database import _engine
from mlops_workbench.control.tables import EndpointRow
from mlops_workbench.core.audit import Subject

# Not by `Database.change`, which lets one process only.
engine = _engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg:"))
sessions = sessionmaker(engine)
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    with sessions.begin() as session:
        session.scalars(select(EndpointRow)).all()
        append(session, "endpoint.deploy", Subject("endpoint", sys.argv[2], number))
        if number % 2:
            append(session, "endpoint.remove", Subject("endpoint", sys.argv[2], number))
"""


@pytest.mark.process
def test_four_processes_at_once_keep_one_chain(database: Database, trail: AuditTrail, database_url: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, database_url, f"writer {number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    report = trail.verify()
    assert (report.whole, report.entries) == (True, 4 * 60), report.problems
    authors = [entry.subject.name for entry in trail.entries(limit=1000)]
    assert {name: authors.count(name) for name in set(authors)} == {f"writer {number}": 60 for number in range(4)}


def test_a_checkpoint_is_written_after_a_hundred_entries_or_an_hour(
    database: Database, trail: AuditTrail, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, now = workspace.audit_checkpoint, 1_700_000_000_000
    monkeypatch.setattr(trail_module, "now_ms", lambda: now)
    trail.step()
    assert not file.exists(), "there is nothing to write down"
    add(database, "a")
    trail.step()
    first = trail.verify().checkpoint
    assert first == Checkpoint(1, trail.verify().head, time_text(now), str(workspace.root))
    assert file.stat().st_mode & 0o077 == 0
    add(database, *(f"e{number}" for number in range(99)))
    trail.step()
    assert trail.verify().checkpoint == first
    add(database, "b")
    trail.step()
    second = trail.verify().checkpoint
    assert second is not None and second.seq == 101
    now += 3_600_000
    trail.step()
    assert trail.verify().checkpoint == second, "there is nothing new"
    add(database, "c")
    trail.step()
    third = trail.verify().checkpoint
    assert third is not None and third.seq == 102
    # Each of them is an anchor for later.
    report = trail.verify(second)
    assert report.whole and report.problems == []
    other = trail.verify(Checkpoint(101, third.hash))
    assert not other.whole and "the anchor is not in the chain: entry 101, has another hash" in other.problems[0]


def test_an_older_copy_of_the_database_is_named_and_the_checkpoint_stays(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "control.db"
    database = Database(f"sqlite:///{file}")
    add(database, "a", "b")
    older = shutil.copy(sorted((tmp_path / "backups").iterdir())[-1], tmp_path / "older.db")
    add(database, "c")
    trail = AuditTrail(database, workspace)
    trail.step()
    kept = workspace.audit_checkpoint.read_bytes()
    database.close()
    for name in tmp_path.glob("control.db*"):
        name.unlink()
    os.replace(older, file)

    database = Database(f"sqlite:///{file}")
    trail = AuditTrail(database, workspace)
    report = trail.verify()
    assert (report.whole, report.entries, report.first_bad) == (False, 2, 0)
    assert "the last entry is 2: the database is an older copy" in report.problems[0]
    with pytest.raises(StorageError, match="older copy") as refused:
        trail.step()
    assert str(workspace.audit_checkpoint) in str(refused.value) and refused.value.hint
    # It goes on from there, and what was lost does not become what is there now.
    add(database, "d", "e")
    report = trail.verify()
    assert (report.whole, report.entries) == (False, 4)
    assert "entry 3" in report.problems[0] and "has another hash" in report.problems[0]
    with pytest.raises(StorageError):
        trail.step()
    assert workspace.audit_checkpoint.read_bytes() == kept
    workspace.audit_checkpoint.unlink()
    trail.step()
    assert trail.verify().whole and trail.verify().checkpoint is not None
    # The copy has the triggers, too.
    with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit"))
    database.close()


@pytest.mark.parametrize("content", [b"", b"{broken", b'{"seq": 1}', b'{"seq": 1, "hash": "x", "at": "noon"}'])
def test_a_damaged_checkpoint_is_named_and_not_replaced(tmp_path: Path, workspace: Workspace, content: bytes) -> None:
    database = Database(f"sqlite:///{tmp_path / 'control.db'}")
    add(database, "a")
    workspace.audit_checkpoint.parent.mkdir()
    workspace.audit_checkpoint.write_bytes(content)
    trail = AuditTrail(database, workspace)
    report = trail.verify()
    assert not report.whole and "cannot be read" in report.problems[0] and report.entries == 1
    with pytest.raises(StorageError, match="cannot be read"):
        trail.step()
    assert workspace.audit_checkpoint.read_bytes() == content
    database.close()
