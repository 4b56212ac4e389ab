"""What a program reads is seen: files, folders, local modules, and that there may be more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlops_workbench.core.reads import ProgramReads

pytestmark = pytest.mark.process


def reads_of(folder: Path, code: str, **files: str) -> ProgramReads:
    """What a fresh process reads that observes itself while it runs the code."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    program = (
        "import sys; sys.path.insert(0, '')\n"
        "from mlops_workbench.capture.provenance.file_reads import FileReads\n"
        "import msgspec\nreads = FileReads(['state'])\nreads.install()\n"
        f"{code}\nreads.after_cell()\nsys.stdout.buffer.write(msgspec.json.encode(reads.report()))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=ProgramReads)


def names(reads: ProgramReads) -> dict[str, str]:
    return {Path(file.path).name: file.how for file in reads.files}


def test_files_that_are_opened_mapped_or_imported_are_seen(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones(5000))
    code = (
        "open('a.csv').read(); open(b'b.csv', 'rb').close()\n"
        "import os, pathlib; os.close(os.open('c.csv', os.O_RDONLY)); pathlib.Path('d.csv').read_text()\n"
        "import pandas; pandas.read_csv('e.csv'); open('f.csv', 'r+').close()\n"
        "import numpy; array = numpy.load('m.npy', mmap_mode='r')\n"
        "import own; os.chdir('/'); os.chdir(own.here); open('g.csv').close()"
    )
    texts = {f"{letter}_csv": "x\n1\n" for letter in "abcdefg"}
    reads = reads_of(tmp_path, code, own_py="import os; here = os.getcwd()", **texts)
    assert names(reads) == {
        **{f"{letter}.csv": "open" for letter in "abcdefg"}, "m.npy": "open", "own.py": "module",
    }  # fmt: skip
    assert {"numpy", "pandas", "msgspec"} <= set(reads.distributions)
    assert reads.unseen == []
    assert reads.folders == []


def test_a_file_that_native_code_holds_open_is_seen(tmp_path: Path) -> None:
    code = "import ctypes; libc = ctypes.CDLL(None); held = libc.open(b'a.csv', 0)"
    assert names(reads_of(tmp_path, code, a_csv="x")) == {"a.csv": "descriptor"}


def test_what_the_program_wrote_itself_and_what_is_not_data_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal").write_text("")
    code = (
        "open('out.txt', 'w').write('1'); open('out.txt').read()\n"
        "open('log.txt', 'a').close(); open('log.txt').read()\n"
        "open('state/journal').read(); open('/proc/self/status').read(); open('/dev/null').read()\n"
        "import json.tool, matplotlib.pyplot"
    )
    # matplotlib looks for fonts in folders that need not be there.
    assert {name: how for name, how in names(reads_of(tmp_path, code)).items() if how != "missing"} == {}


def test_files_and_folders_that_are_looked_for_and_missing_are_seen(tmp_path: Path) -> None:
    code = (
        "import contextlib, glob, os\n"
        "for name in ('a.csv', 'no/b.csv'):\n    with contextlib.suppress(OSError):\n        open(name)\n"
        "glob.glob('none/*.csv')\nwith contextlib.suppress(OSError):\n    os.listdir('gone')"
    )
    reads = reads_of(tmp_path, code)
    assert {name: how for name, how in names(reads).items() if name != "none"} == {
        "a.csv": "missing", "b.csv": "missing", "gone": "missing",
    }  # fmt: skip
    assert reads.unseen == []


def test_what_the_workbench_and_searches_for_packages_read_is_not_the_programs(tmp_path: Path) -> None:
    code = (
        "import importlib.metadata\nimportlib.metadata.version('numpy')\n"
        "from mlops_workbench.capture.provenance import notebook_file\n"
        "exec(compile(\"open('a.csv').read()\", notebook_file.__file__, 'exec'))"
    )
    reads = reads_of(tmp_path, code, a_csv="x")
    assert (reads.files, reads.folders, reads.unseen) == ([], [], [])


def test_written_files_and_the_python_are_told(tmp_path: Path) -> None:
    code = "import os; open('out.txt', 'w').close(); open('gone.txt', 'w').close(); os.remove('gone.txt')"
    reads = reads_of(tmp_path, code)
    assert [Path(path).name for path in reads.written] == ["out.txt"]
    assert reads.prefix == sys.prefix


def test_listed_folders_are_seen_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.csv").write_text("")
    reads = reads_of(tmp_path, "import glob; glob.glob('data/*.csv'); import json, decimal, sched")
    assert [(Path(folder.path).name, folder.names) for folder in reads.folders] == [("data", ["1.csv"])]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import duckdb", "duckdb opens files itself"),
        ("import subprocess; subprocess.run(['true'])", "it starts another program: true"),
        ("import os; os.system('true')", "it starts another program"),
        ("import os\nif os.fork() == 0: os._exit(0)\nos.wait()", "it starts another program"),
        ("import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\nexcept OSError:\n    pass", "network"),
        ("import sqlite3; sqlite3.connect('file:x.db?mode=memory', uri=True)", "SQLite"),
        ("import pandas; pandas.DataFrame({'x': [1]}).to_parquet('p'); pandas.read_parquet('p')", "pyarrow"),
    ],
)
def test_it_says_where_it_may_have_missed_a_file(tmp_path: Path, code: str, reason: str) -> None:
    assert any(reason in text for text in reads_of(tmp_path, code).unseen)


def test_a_database_file_is_seen(tmp_path: Path) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "own.db").execute("create table x (y)").connection.close()
    assert "own.db" in names(reads_of(tmp_path, "import sqlite3; sqlite3.connect('own.db').execute('select 1')"))


def test_files_are_seen_in_every_thread(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "threads = [threading.Thread(target=lambda n=n: open(f'{n}.csv').read()) for n in range(20)]\n"
        "for t in threads: t.start()\nfor t in threads: t.join()"
    )
    for number in range(20):
        (tmp_path / f"{number}.csv").write_text("")
    assert set(names(reads_of(tmp_path, code))) == {f"{number}.csv" for number in range(20)}
