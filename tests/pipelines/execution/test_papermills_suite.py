"""papermill's own suite with our engine in it; by hand (`make test-all`)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(900)]

#: Makes ours the engine that papermill uses when none is named.
PLUGIN = """
from papermill.engines import papermill_engines
from mlops_workbench.pipelines.stages.engine import WorkbenchEngine
papermill_engines.register(None, WorkbenchEngine)
"""
#: They look inside papermill's own engine: at the call of its client, and at the number of times that it saves.
INTERNALS = {
    "TestMidCellAutosave::test_end2end_autosave_slow_notebook",
    "TestNotebookHelpers::test_default_start_timeout",
    "TestNotebookHelpers::test_start_timeout",
}
#: The parts of the suite that execute notebooks; the others are about storages of clouds.
FILES = ("execute", "engines", "cli", "parameterize", "autosave", "inspect", "translators", "clientwrap")


def failures(folder: Path, *options: str) -> tuple[set[str], int]:
    """Names of the failed tests of papermill's suite, and the number of those that passed."""
    import papermill.tests

    suite = Path(papermill.tests.__file__).parent
    files = [str(suite / f"test_{name}.py") for name in FILES if (suite / f"test_{name}.py").exists()]
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *options, *files]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False, timeout=800)
    found = {name for name in re.findall(r"^(?:FAILED|ERROR) \S*?\.py::(\S+)", done.stdout, re.MULTILINE)}
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout + done.stderr
    return found, int(passed[1])


def test_papermills_own_suite_passes_with_our_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "our_engine.py").write_text(PLUGIN)
    without, passed = failures(tmp_path)
    with_ours, also = failures(tmp_path, "-p", "our_engine")
    assert with_ours - without <= INTERNALS and passed > 150 and also >= passed - len(INTERNALS)
