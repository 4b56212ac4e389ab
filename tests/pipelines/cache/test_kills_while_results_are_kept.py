"""A process that is killed while it keeps a result leaves none that another one would take."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import StageKey
from mlops_workbench.pipelines.cache.stage_cache import StageCache

pytestmark = pytest.mark.process

OWNER = ("pipeline", "stage")
#: Keeps results one after another: for each number an output of that content, and a folder of such files.
KEEPS = """
import sys
from pathlib import Path
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.entries import StageKey, StageReads, StageResult
from mlops_workbench.pipelines.cache.stage_cache import StageCache

workspace, begin = Workspace.open(Path(sys.argv[1])), int(sys.argv[2])
cache, folder = StageCache(workspace), Path(sys.argv[1]) / "outputs"
(folder / "parts").mkdir(parents=True, exist_ok=True)
for number in range(begin, begin + 100_000):
    (folder / "one").write_text(f"{number} " * 50_000)
    for part in "ab":
        (folder / "parts" / part).write_text(f"{part}{number} " * 20_000)
    outputs = cache.keep_outputs({"one": str(folder / "one"), "parts": str(folder / "parts")})
    key = StageKey([str(number)], {}, {}, {}, {}, {}, "", "")
    cache.keep(key, StageResult(StageReads(), outputs, {}, "1" * 32, "2" * 32, outputs["one"][""], 0, 0.0), ("p", "s"))
    print(number, flush=True)
"""


@pytest.mark.parametrize("series", range(3))
def test_every_result_that_is_found_after_a_kill_is_whole(workspace: Workspace, tmp_path: Path, series: int) -> None:
    draws = random.Random(series)
    begin, kept = 0, []
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", KEEPS, str(workspace.root), str(begin)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # it is at work
        time.sleep(draws.uniform(0, 0.05))
        process.kill()
        told = [begin, *map(int, filter(str.isdigit, process.stdout.read().split()))]
        process.wait()
        cache = StageCache(workspace)
        for number in range(begin, told[-1] + 3):
            found = cache.find(StageKey([str(number)], {}, {}, {}, {}, {}, "", ""), tmp_path / "n.ipynb", OWNER).result
            assert found is not None or number > told[-1]
            if found is None:
                continue
            kept.append(number)
            target = tmp_path / f"{kill}"
            cache.restore(found, {"one": str(target / "one"), "parts": str(target / "parts")})
            assert (target / "one").read_text() == f"{number} " * 50_000
            assert {file.name: file.read_text() for file in (target / "parts").iterdir()} == {
                part: f"{part}{number} " * 20_000 for part in "ab"
            }
        begin = told[-1] + 10
    assert len(kept) >= 6
