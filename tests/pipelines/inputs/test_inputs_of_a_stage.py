"""Inputs of a stage are made before its kernel starts, or fail with one clear line."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from notebook_files import notebook
from stage_process import run_stage

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.digests import FileDigests
from mlops_workbench.pipelines.inputs.describe import describe_input
from mlops_workbench.pipelines.inputs.materialise import materialise
from mlops_workbench.pipelines.runs.requests import InputRequest
from mlops_workbench.tracking.ingest.ingest import Ingest


def made(workspace: Workspace, kind: str, source: str, connection: str = "") -> pd.DataFrame:
    path = workspace.root / "inputs of a stage" / "rows.parquet"
    entry = InputRequest(kind, source, [str(path)], connection=connection)  # type: ignore[arg-type]
    assert materialise(workspace, "rows", entry) == [str(path)]
    assert [one.name for one in path.parent.iterdir()] == ["rows.parquet"]
    return pd.read_parquet(path)


def refusal(workspace: Workspace, kind: str, source: str, connection: str = "") -> str:
    entry = InputRequest(kind, source, [str(workspace.root / "in" / "rows.parquet")], connection=connection)  # type: ignore[arg-type]
    with pytest.raises((InvalidInput, NotFound)) as caught:
        materialise(workspace, "rows", entry)
    assert not (workspace.root / "in").exists() or not list((workspace.root / "in").iterdir())
    assert caught.value.message.startswith("input 'rows': ") and "\n" not in caught.value.message
    return f"{caught.value.message} ({caught.value.hint})"


@pytest.fixture
def orders(workspace: Workspace) -> Workspace:
    (workspace.root / "data").mkdir()
    with sqlite3.connect(workspace.root / "data" / "orders.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, price REAL, note TEXT, odd)")
        rows = [(number, None if number < 60_000 else number / 2, f"100%:x{number}", None) for number in range(70_000)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE TABLE mixed AS SELECT 1 AS a UNION ALL SELECT 'text'")
    return workspace


def test_a_query_is_read_in_batches_with_one_type_for_each_column(orders: Workspace) -> None:
    frame = made(orders, "sql", "SELECT * FROM orders WHERE note LIKE '100%' ORDER BY id", "sqlite:///data/orders.db")
    assert len(frame) == 70_000 and frame["price"].isna().sum() == 60_000
    assert frame["price"].iloc[-1] == 69_999 / 2 and frame["note"].iloc[3] == "100%:x3" and frame["odd"].isna().all()


def test_a_query_without_rows_keeps_its_columns(orders: Workspace) -> None:
    frame = made(orders, "sql", "SELECT id, note FROM orders WHERE id < 0", "sqlite:///data/orders.db")
    assert list(frame.columns) == ["id", "note"] and frame.empty


def test_duckdb_queries_files_of_the_workspace(workspace: Workspace) -> None:
    pd.DataFrame({"x": [1, 2, 3]}).to_parquet(workspace.root / "a.parquet")
    (workspace.root / "b.csv").write_text("x,y\n1,one\n2,two\n")
    frame = made(
        workspace, "sql", "SELECT x, y FROM 'a.parquet' JOIN 'b.csv' USING (x) ORDER BY x; -- all", "duckdb://"
    )
    assert frame["y"].tolist() == ["one", "two"]
    with duckdb.connect(str(workspace.root / "own.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    assert made(workspace, "sql", "FROM t", "duckdb:///own.duckdb")["answer"].tolist() == [42]


@pytest.mark.parametrize(
    ("query", "connection", "said"),
    [
        ("SELECT * FROM orders", "sqlite:///data/gone.db", "the database data/gone.db does not exist"),
        ("SELECT * FROM gone", "sqlite:///data/orders.db", "the query failed: no such table: gone"),
        ("SELEC 1", "sqlite:///data/orders.db", "the query failed"),
        ("DELETE FROM orders", "sqlite:///data/orders.db", "the query returns no rows"),
        ("SELECT 1 AS a, 2 AS a", "sqlite:///data/orders.db", "two columns 'a'"),
        ("SELECT a FROM mixed", "sqlite:///data/orders.db", "column 'a' has values of several types: int, str"),
        ("SELECT 1", "nosuch://x", "no driver for 'nosuch:'"),
        ("SELECT 1", "mysql://x/y", "needs the package MySQLdb"),
        ("SELECT 1", "no url", "its connection is not a URL"),
        ("SELECT * FROM gone", "duckdb://", "the query failed: Catalog Error"),
        ("SELECT 1", "duckdb:///gone.db", "the database gone.db does not exist"),
    ],
)
def test_a_query_that_fails_says_why(orders: Workspace, query: str, connection: str, said: str) -> None:
    assert said in refusal(orders, "sql", query, connection)
    with sqlite3.connect(orders.root / "data" / "orders.db") as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone() == (70_000,)


def test_nothing_of_a_secret_connection_is_in_a_message(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "environment variable DB_URL" in refusal(workspace, "sql", "SELECT 1", "secret:DB_URL")
    monkeypatch.setenv("DB_URL", "postgresql+psycopg://bert:hunter22@127.0.0.1:1/shopdata")
    message = refusal(workspace, "sql", "SELECT 1", "secret:DB_URL")
    assert not any(part in message for part in ("bert", "hunter22", "shopdata", "127.0.0.1"))
    monkeypatch.setenv("DB_URL", "sqlite:///secret-name.db")
    assert "secret-name" not in refusal(workspace, "sql", "SELECT 1", "secret:DB_URL")


def test_a_data_set_is_its_newest_or_the_named_version(session: Session, stored_workspace: Workspace) -> None:
    digests = []
    for rows in ([1], [1, 2], [1, 2, 3]):
        run = session.start_run("uses data")
        run.log_dataset(pd.DataFrame({"x": rows}), "numbers", snapshot=True)
        run.end()
    run = session.start_run("keeps none")
    run.log_dataset(pd.DataFrame({"x": [7]}), "unkept", snapshot=False)
    run.end()
    with Ingest(stored_workspace) as ingest:
        ingest.catch_up()
        digests = [use.digest for use in reversed(ingest.index.dataset_uses("numbers"))]
    for reference, count in (("numbers", 3), ("numbers@1", 1), ("numbers@2", 2), (f"numbers@{digests[1][:8]}", 2)):
        assert len(made(stored_workspace, "dataset", reference)) == count, reference
    entry = InputRequest("dataset", "numbers@1", [str(stored_workspace.root / "x.parquet")])
    assert version(stored_workspace, entry) == f"dataset:{digests[0]}"
    assert "did you mean 'numbers'?" in refusal(stored_workspace, "dataset", "nunbers")
    assert "no version '9' (it has versions 1 to 3)" in refusal(stored_workspace, "dataset", "numbers@9")
    assert "no version '0'" in refusal(stored_workspace, "dataset", "numbers@0")
    assert "no run kept the rows of data set 'unkept'" in refusal(stored_workspace, "dataset", "unkept")


class _Pages(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if self._answer() == 200:
            self.wfile.write(b"x")

    def _answer(self) -> int:
        status = {"/there": 200, "/nohead": 405 if self.command == "HEAD" else 200, "/broken": 500}.get(self.path, 404)
        self.send_response(status)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", "1" if status == 200 else "0")
        self.end_headers()
        return status

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def version(workspace: Workspace, entry: InputRequest) -> str:
    return describe_input(workspace, entry, FileDigests(workspace.state / "digests").of)


def url(workspace: Workspace, address: str) -> InputRequest:
    return InputRequest("url", address, [address])


def test_a_url_is_looked_for_and_left_to_the_notebook(workspace: Workspace, pages: str) -> None:
    for page in ("there", "nohead"):
        address = f"http://user:geheim@{pages}/{page}"
        assert materialise(workspace, "rows", url(workspace, address)) == [address]
        assert version(workspace, url(workspace, address)) == 'version:"v1"'
    (workspace.root / "a b.csv").write_text("x")
    address = f"file://{workspace.root}/a b.csv"
    assert materialise(workspace, "rows", url(workspace, address)) == [address]
    first = version(workspace, url(workspace, address))
    (workspace.root / "a b.csv").write_text("xy")
    assert version(workspace, url(workspace, address)) != first


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://user:geheim@{pages}/gone", "there is nothing at http://{pages}/gone (404)"),
        ("http://user:geheim@{pages}/broken", "http://{pages}/broken answered 500"),
        ("http://user:geheim@127.0.0.1:1/x", "http://127.0.0.1:1/x cannot be reached"),
        (
            "s3://bucket/x.parquet",
            "s3://bucket/x.parquet needs the package s3fs, which is not installed (pip",
        ),
        ("gs://bucket/x", "needs the package gcsfs"),
        ("cobol://x", "cobol://x is not a URL that can be read: Protocol not known: cobol"),
        ("file:///no/such/file", "there is nothing at"),
    ],
)
def test_a_url_that_cannot_be_read_says_why(workspace: Workspace, pages: str, address: str, said: str) -> None:
    entry = url(workspace, address.format(pages=pages))
    with pytest.raises((InvalidInput, NotFound)) as caught:
        materialise(workspace, "rows", entry)
    message = f"{caught.value.message} ({caught.value.hint})"
    assert said.format(pages=pages) in message and "geheim" not in message


def test_a_file_that_was_removed_is_named(workspace: Workspace) -> None:
    (workspace.root / "a.csv").write_text("x")
    files = [str(workspace.root / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(NotFound, match=r"input 'raw': .*b\.csv does not exist any more"):
        materialise(workspace, "raw", InputRequest("file", "*.csv", files))


def test_the_digest_of_files_is_that_of_their_content(workspace: Workspace) -> None:
    one = workspace.root / "one.csv"
    one.write_text("x")
    entry = InputRequest("file", "one.csv", [str(one)])
    assert version(workspace, entry) == "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    first = version(workspace, entry)
    os.utime(one, ns=(1, 1))
    assert version(workspace, entry) == first
    one.write_text("y")
    assert version(workspace, entry) != first
    folder = workspace.root / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a").write_text("1")
    several = InputRequest("file", "*", [str(one), str(folder)])
    before = version(workspace, several)
    (folder / "inner" / "a").rename(folder / "inner" / "b")
    assert version(workspace, several) != before
    with pytest.raises(NotFound):
        version(workspace, InputRequest("file", "gone", [str(workspace.root / "gone")]))


@pytest.mark.process
def test_an_input_that_cannot_be_made_fails_the_stage_before_its_kernel_starts(workspace: Workspace) -> None:
    path = str(workspace.root / "rows.parquet")
    query = InputRequest("sql", "SELECT * FROM gone", [path], connection="secret:DB_URL")
    environment = {"DB_URL": "sqlite:///geheim.db"}
    attempt = run_stage(workspace, notebook("1"), environment, inputs={"rows": query})
    assert (attempt.ended.state, attempt.ended.cause) == ("failed", "input")
    assert attempt.ended.message.startswith("only.ipynb: input 'rows': the database") and attempt.cells == []
    assert "geheim" not in attempt.ended.message


@pytest.mark.process
def test_the_notebook_finds_the_rows_of_a_query(workspace: Workspace) -> None:
    path = workspace.root / "made" / "rows.parquet"
    query = InputRequest("sql", "SELECT 1 AS a UNION ALL SELECT 2", [str(path)], connection="duckdb://")
    attempt = run_stage(
        workspace,
        notebook(
            f"import pandas\npandas.read_parquet({str(path)!r}).a.sum()",
            "import json, os\nsorted(json.load(open(os.environ['MLOPS_STAGE']))['inputs'])",
        ),
        inputs={"rows": query},
    )
    assert attempt.ended.state == "succeeded", attempt.ended
    assert "3" in attempt.output(0) and attempt.output(1) == "['rows']"
    assert version(workspace, query).startswith("sha256:")


def test_the_path_of_a_result_may_have_odd_letters(workspace: Workspace) -> None:
    path = Path(workspace.root, 'it\'s "odd"', "ü rows.parquet")
    materialise(workspace, "rows", InputRequest("sql", "SELECT 1 AS a", [str(path)], connection="duckdb://"))
    assert pd.read_parquet(path).a.tolist() == [1]
