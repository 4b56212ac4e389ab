"""Unchanged stages against papermill's one notebook; and whether the cache tells changes from what is none."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from pipelines_commands import check_complete, check_succeeded, command, workspace, write_notebook

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service

_STAGES = 10
#: Changes of each kind; five kinds must miss, seven must hit.
_MISSES, _HITS = 44, 32
_SOURCES = [
    "import helper, pathlib\nimport pipbench\nrows = open(raw).read() + pathlib.Path('side.csv').read_text()",
    "total = helper.count(rows) * factor\nfor word in rows.split():\n    total += len(word)",
    "pathlib.Path(result).write_text(f'{total} {pipbench.__version__}')",
]
_SPEC = """version: 2
params: {factor: 1.5}
stages:
  count:
    notebook: ../count.ipynb
    params: [factor]
    inputs: {raw: ../raw.csv}
    outputs: {result: result.txt}
"""


def reuse(rounds: int) -> dict[str, float]:
    """Seconds of papermill with one trivial notebook and of a pipeline of unchanged stages, and their ratio."""
    ours, theirs = [], []
    with workspace() as root:
        _write_chain(root)
        command(root, "mlops", "up")
        _run_chain(root, cached=False)
        for _ in range(rounds):
            output = root / "papermill.ipynb"
            output.unlink(missing_ok=True)
            theirs.append(command(root, "papermill", "trivial.ipynb", output.name)[0])
            check_complete(output, 1)
            ours.append(_run_chain(root, cached=True))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {"ratio_cached": round(other / mine, 2), "cached_s": round(mine, 3), "cached_papermill_s": round(other, 3)}


def truth() -> dict[str, float]:
    """Changes that must miss and were hits, and the share of hits among those that must hit.

    One real run makes the entry. Each trial changes files of a copy of the workspace and asks what a run would do, with
    the code that the runner decides by; every tenth trial is also a real run.
    """
    draws = random.Random(12)
    false_hits = misses = hits = wanted = runs = 0
    with tempfile.TemporaryDirectory(prefix="bench-cache-", ignore_cleanup_errors=True) as folder:
        place = _Place(Path(folder))
        place.run()
        for kinds, count, must_hit in ((_CHANGES, _MISSES, False), (_SAME, _HITS, True)):
            for name, change in kinds.items():
                for number in range(count):
                    restore = place.begin()
                    params = change(place, draws) or {}
                    hit = place.hit(params)
                    if number % 10 == 0:
                        runs += 1
                        if place.run(params) != hit:
                            raise RuntimeError(f"{name}: the run did not do what was foretold")
                    if must_hit:
                        wanted, hits = wanted + 1, hits + hit
                    else:
                        misses, false_hits = misses + 1, false_hits + hit
                    if hit != must_hit:
                        print(f"{name}: {'hit' if hit else place.why(params)}", file=sys.stderr)
                    restore()
    return {
        "false_cache_hits": false_hits,
        "cache_changes": misses,
        "cache_hit_pct": round(100 * hits / wanted, 2),
        "cache_no_changes": wanted,
        "cache_real_runs": runs,
    }


class _Place:
    """A workspace with one stage that reads an input, another file, a local module and an installed package."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "workspace"
        self._packages = folder / "packages"
        (self.root / "pipelines").mkdir(parents=True)
        (self.root / "workbench.toml").write_text("")
        (self.root / "pipelines" / "one.yaml").write_text(_SPEC)
        write_notebook(self.root / "count.ipynb", _SOURCES, "raw = result = ''\nfactor = 1.0")
        for name in ("raw.csv", "side.csv"):
            (self.root / name).write_text("".join(f"{number},{number * 7 % 13}\n" for number in range(500)))
        (self.root / "helper.py").write_text("def count(text):\n    return text.count(',')\n")
        self.install("1.0")
        os.environ["PYTHONPATH"] = str(self._packages)
        sys.path.append(str(self._packages))

    def install(self, version: str) -> None:
        """Install a package of this version, as pip does it."""
        shutil.rmtree(self._packages, ignore_errors=True)
        about = self._packages / f"pipbench-{version}.dist-info"
        (self._packages / "pipbench").mkdir(parents=True)
        about.mkdir()
        (self._packages / "pipbench" / "__init__.py").write_text(f"__version__ = {version!r}\n")
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pipbench\nVersion: {version}\n")
        (about / "RECORD").write_text(f"pipbench/__init__.py,,\n{about.name}/METADATA,,\n{about.name}/RECORD,,\n")

    @property
    def workspace(self) -> Workspace:
        return Workspace.open(self.root)

    def begin(self) -> Callable[[], None]:
        """Work on a copy of the workspace; the result goes back."""
        original = self.root
        self.root = self._folder / "copy" / "workspace"
        shutil.copytree(original, self.root)

        def restore() -> None:
            shutil.rmtree(self._folder / "copy")
            self.root = original
            self.install("1.0")

        return restore

    def hit(self, params: dict[str, object]) -> bool:
        (stage,) = service.plan_run(self.workspace, "one", params).stages
        return stage.cached

    def why(self, params: dict[str, object]) -> list[str]:
        (stage,) = service.plan_run(self.workspace, "one", params).stages
        return stage.reasons

    def run(self, params: dict[str, object] | None = None) -> bool:
        """Run the pipeline; whether the stage was reused."""
        texts = [text for name, value in (params or {}).items() for text in ("-p", f"{name}={value!r}")]
        _, printed = command(self.root, "mlops", "pipeline", "run", "one", "--json", *texts)
        command(self.root, "mlops", "down")
        run = json.loads(printed)
        check_succeeded(run)
        return bool(run["stages"][0]["cached"])

    def edit(self, change: Callable[[nbformat.NotebookNode], object]) -> None:
        notebook = nbformat.read(self.root / "count.ipynb", as_version=4)
        change(notebook)
        nbformat.write(notebook, self.root / "count.ipynb")

    def replace(self, name: str, position: int, byte: bytes) -> None:
        """Replace a byte of a file, and set its times back."""
        path = self.root / name
        times = path.stat()
        data = bytearray(path.read_bytes())
        data[position : position + 1] = byte
        path.write_bytes(bytes(data))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _code(place: _Place, draws: random.Random) -> None:
    statement = draws.choice(["x = {n}", "total += {n}", "factor *= 1.{n}", "print({n})", "def f(): return {n}"])
    cell = draws.randrange(1, 4)

    def change(notebook: nbformat.NotebookNode) -> None:
        lines = notebook.cells[cell].source.splitlines()
        lines.insert(draws.choice([0, 1, len(lines)]) if cell != 2 else 0, statement.format(n=draws.randrange(10**6)))
        notebook.cells[cell].source = "\n".join(lines)

    place.edit(change)


def _parameter(place: _Place, draws: random.Random) -> dict[str, object]:
    return {"factor": 1.5 + draws.choice([2.0**-52, 1e-9, draws.random() + 1e-6, -draws.random() - 1e-6])}


def _data(place: _Place, draws: random.Random) -> None:
    name = draws.choice(["raw.csv", "side.csv"])
    position = draws.randrange((place.root / name).stat().st_size)
    old = (place.root / name).read_bytes()[position : position + 1]
    place.replace(name, position, draws.choice([byte for byte in (b"1", b"2", b"3") if byte != old]))


def _module(place: _Place, draws: random.Random) -> None:
    place.replace("helper.py", len("def count(text):\n    return text.count("), draws.choice([b'"', b" '", b"'x'+'"]))
    (place.root / "helper.py").write_text(f"def count(text):\n    return text.count(',') + {draws.randrange(10**6)}\n")


def _package(place: _Place, draws: random.Random) -> None:
    place.install(f"1.{draws.randrange(1, 99)}.{draws.randrange(99)}")


def _comment(place: _Place, draws: random.Random) -> None:
    cell = draws.randrange(1, 4)

    def change(notebook: nbformat.NotebookNode) -> None:
        source = notebook.cells[cell].source
        notebook.cells[cell].source = f"# {draws.random()}\n\n{source}  # the end\n\n# {draws.random()}"

    place.edit(change)


def _markdown(place: _Place, draws: random.Random) -> None:
    at = draws.randrange(5)
    place.edit(lambda notebook: notebook.cells.insert(at, nbformat.v4.new_markdown_cell(f"# {draws.random()}")))


def _outputs(place: _Place, draws: random.Random) -> None:
    def change(notebook: nbformat.NotebookNode) -> None:
        for cell in notebook.cells:
            cell.execution_count = draws.randrange(1, 100)
            cell.outputs = [nbformat.v4.new_output("stream", text=str(draws.random()))]

    place.edit(change)


def _ids(place: _Place, draws: random.Random) -> None:
    def change(notebook: nbformat.NotebookNode) -> None:
        for cell in notebook.cells:
            cell.id = f"{draws.randrange(16**8):08x}"

    place.edit(change)


def _times(place: _Place, draws: random.Random) -> None:
    for name in ("raw.csv", "side.csv", "helper.py", "count.ipynb", "pipelines/one.yaml"):
        os.utime(place.root / name, (draws.randrange(10**9), draws.randrange(10**9)))


def _moved(place: _Place, draws: random.Random) -> None:
    target = place.root.parent / f"elsewhere {draws.randrange(10**6)}" / "deep"
    target.parent.mkdir()
    place.root = place.root.rename(target)


def _nothing(place: _Place, draws: random.Random) -> None:
    pass


_Change = Callable[[_Place, random.Random], "dict[str, object] | None"]
_CHANGES: dict[str, _Change] = {
    "code": _code, "parameter": _parameter, "data byte": _data, "local module": _module, "package version": _package,
}  # fmt: skip
_SAME: dict[str, _Change] = {
    "comment": _comment, "Markdown": _markdown, "outputs": _outputs, "cell ids": _ids, "time stamps": _times,
    "moved folder": _moved, "plain rerun": _nothing,
}  # fmt: skip


def _write_chain(root: Path) -> None:
    """A pipeline of stages, each of which reads what the one before has written."""
    (root / "pipelines").mkdir()
    write_notebook(root / "trivial.ipynb", ["1 + 1"])
    lines = ["version: 2", "stages:"]
    for number in range(_STAGES):
        source = f"open(out, 'w').write((open(before).read() if before else '') + '{number}')"
        write_notebook(root / f"s{number}.ipynb", [source], "before = out = ''")
        lines += [f"  s{number}:", f"    notebook: ../s{number}.ipynb", "    outputs: {out: out.txt}"]
        lines += [f"    inputs: {{before: s{number - 1}.out}}"] if number else []
    (root / "pipelines" / "chain.yaml").write_text("\n".join(lines) + "\n")


def _run_chain(root: Path, *, cached: bool) -> float:
    seconds, printed = command(root, "mlops", "pipeline", "run", "chain", "--json")
    run = json.loads(printed)
    check_succeeded(run)
    if [stage["cached"] for stage in run["stages"]] != [cached] * _STAGES:
        raise RuntimeError(f"not all stages were {'reused' if cached else 'run'}: {printed}")
    last = root / ".mlops" / "pipelines" / run["id"] / "stages" / f"s{_STAGES - 1}"
    if (last / "outputs" / "out.txt").read_text() != "".join(map(str, range(_STAGES))):
        raise RuntimeError("the last stage has another output")
    executed = nbformat.read(last / "attempt-1" / "executed.ipynb", as_version=4)
    if not executed.cells[-1].outputs:
        raise RuntimeError("the executed notebook of the last stage is not complete")
    return seconds
