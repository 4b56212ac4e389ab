"""Loading the extension imports only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_workbench import magics
from mlops_workbench.core.reads import READS_VARIABLE

pytestmark = pytest.mark.process

LOAD = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "mlops_workbench")
assert shell.find_line_magic("mlops") and shell.find_cell_magic("track")
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_loading_imports_nothing_but_the_magics() -> None:
    answer = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=120)
    heavy = {"msgspec", "tomllib", "httpx", "click", "rich", "pandas", "numpy", "mlflow", "plotly", "sklearn", "yaml"}
    assert not heavy & set(answer.stdout.split()), answer.stdout


def test_the_variable_for_reads_is_the_same() -> None:
    assert magics._READS_VARIABLE == READS_VARIABLE


def test_help_needs_no_http_client() -> None:
    code = "import sys; import mlops_workbench.cli, mlops_workbench.commands.app; print('httpx' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.strip() == "False"
