"""What a run rests on, and why its notebook would not repeat it: small sessions with their notebooks on disk."""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mlops_workbench.core.records import CellExecuted, Provenance
from mlops_workbench.magics.track import register_track
from mlops_workbench.notebooks.lineage.reproducibility import BECAUSE


class Notebook:
    """A notebook on disk, and an IPython session that its cells run in."""

    def __init__(self, folder: Path, cells: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.cells = dict(cells)
        self.path = folder / "mein notizbuch ü.ipynb"
        monkeypatch.setenv("JPY_SESSION_NAME", str(self.path))
        monkeypatch.chdir(folder)
        # A session takes the place of __main__ and of the hooks of the interpreter.
        for name in ("displayhook", "excepthook"):
            monkeypatch.setattr(sys, name, getattr(sys, name))
        monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        config = Config({"HistoryManager": {"hist_file": ":memory:"}, "InteractiveShell": {"colors": "nocolor"}})
        self.shell = InteractiveShell(config=config)
        monkeypatch.setattr(InteractiveShell, "_instance", self.shell)
        register_track(self.shell)
        self.save(seconds=-60)

    def save(self, *, seconds: float = 5) -> None:
        """Save the notebook; `seconds` after now, so that what ran up to now ran before."""
        cells = [
            {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
            for name, source in self.cells.items()
        ]
        document = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.path.write_text(json.dumps(document), encoding="utf-8")
        at = time.time() + seconds
        os.utime(self.path, (at, at))

    def do(self, script: str) -> None:
        """Run cells by their names; ``A:code`` edits, ``-A`` deletes, ``save`` saves, ``>code`` is a console's."""
        for step in script.split(" | "):
            if step == "save":
                self.save()
            elif step.startswith("-"):
                del self.cells[step[1:]]
            elif step.startswith(">"):
                self.run(step[1:], "")
            elif ":" in step:
                name, _, source = step.partition(":")
                self.cells[name] = source
            else:
                self.run(self.cells[step], step)

    def run(self, source: str, cell: str) -> None:
        self.shell.run_cell(source, store_history=True, cell_id=cell or None)


@pytest.fixture
def notebook(workspace, session, monkeypatch, capfd):
    made: list[Notebook] = []

    def make(cells: dict[str, str]) -> Notebook:
        made.append(Notebook(workspace.root, cells, monkeypatch))
        return made[-1]

    yield make
    for one in made:
        atexit.unregister(one.shell.atexit_operations)
        one.shell.atexit_operations()


def provenance(records) -> Provenance:
    return records.of(Provenance)[-1]


def rests_on(records) -> list[str]:
    """Sources of the executions that the last run rests on."""
    sources = {record.uid: record.source for record in records.of(CellExecuted)}
    return [sources[uid] for uid in provenance(records).cells]


RUN = "%%track r\ny = x + 1"
TWO = {"A": "x = 1", "R": RUN}

#: Sessions after which the notebook repeats the run: nothing must be said.
GOOD = {
    "straight line": (TWO, "A | R"),
    "saved afterwards": (TWO, "A | save | R"),
    "a list sorted twice": (
        {"A": "words = ['b', 'a']", "B": "words.sort()", "R": "%%track r\ny = words[0]"}, "A | B | B | R"),
    "what a function of a library changed": (
        {"A": "import heapq\nheap = [3, 4]", "B": "heapq.heappush(heap, 1)", "R": "%%track r\ny = heap[0]"},
        "A | B | R"),
    "a run that needs nothing": ({"R": "%%track r\ny = 1"}, "R"),
    "a cell run twice that only binds": (TWO, "A | A | R"),
    "the run twice": (TWO, "A | R | R"),
    "edited and run again": (TWO, "A | A:x = 2 | A | save | R"),
    "edited and run again, not saved yet": (TWO, "A | A:x = 2 | A | R"),
    "a new cell that is not saved yet": (TWO, "A | B:z = 1 | B | R"),
    "a new column computed twice": (
        {"I": "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})", "B": "df['b'] = df.a * 2",
         "R": "%%track r\ny = df.b.sum()"},
        "I | B | B | R",
    ),
    "a new column computed otherwise": (
        {"I": "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})", "B": "df['b'] = df.a * 2",
         "R": "%%track r\ny = df.b.sum()"},
        "I | B | B:df['b'] = df.a * 3 | B | save | R",
    ),
    "a model fitted twice": (
        {"I": "from sklearn.linear_model import Ridge\nmodel = Ridge()", "F": "model.fit([[1.0], [2.0]], [1.0, 2.0])",
         "R": "%%track r\ny = model.predict([[3.0]])[0]"},
        "I | F | F | R",
    ),
    "looking at values below and going back": (
        {"A": "xs = [1, 2]", "R": "%%track r\ny = sum(xs)", "L": "len(xs)\nprint(xs)\nxs"}, "A | L | R",
    ),
    "looking at a table below": (
        {"I": "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})", "R": "%%track r\ny = df.a.sum()",
         "L": "df.head()\ndf.describe()\ndf.a.value_counts()"},
        "I | L | R",
    ),
    "a cell below that binds other names": ({**TWO, "Z": "z = x"}, "A | Z | R"),
    "a failed cell that changed nothing": ({**TWO, "F": "x = 1 / 0"}, "A | F | R"),
    "commands below": ({**TWO, "L": "!echo hello"}, "A | L | R"),
    "a console that looks": (TWO, "A | >x | R"),
    "imports in the middle, run again": (
        {"A": "x = 1", "I": "import math", "R": "%%track r\ny = math.floor(x)"}, "A | I | I | R",
    ),
    "functions defined above": (
        {"K": "k = 2", "F": "def f(a):\n    return a * k", "R": "%%track r\ny = f(3)"}, "F | K | R",
    ),
    "seeded numbers": (
        {"I": "import numpy as np", "S": "np.random.seed(0)", "D": "x = np.random.rand()", "R": RUN},
        "I | S | D | S | D | R",
    ),
    "a comment that is not saved yet": (TWO, "A:x = 1  # one | A | R"),
    "conditional, done once": ({"A": "x = 0", "B": "if x == 0:\n    x = 5", "R": RUN}, "A | B | B | R"),
}  # fmt: skip

#: Sessions after which it does not: what must be said, each of it once.
BAD = {
    "edited since": (TWO, "A | A:x = 2 | save | R", ["the cell of In[1] was edited after it ran"]),
    "deleted": (TWO, "A | -A | save | R", ["In[1] ('x = 1') is not a cell of the notebook"]),
    "typed in a console": (TWO, "A | >x = 7 | R", ["In[2] ran outside of the notebook"]),
    "ran from below": (
        {"A": "x = 1", "R": RUN, "Z": "x = 5"}, "A | Z | R", ["In[2], which made x for In[3], is below it"]),
    "a function from below": (
        {"R": "%%track r\ny = f(3)", "F": "def f(a):\n    return a"}, "F | R",
        ["In[1], which made f for In[2], is below it"]),
    "a global of a function from below": (
        {"F": "def f(a):\n    return a * k", "R": "%%track r\ny = f(3)", "K": "k = 2"}, "F | K | R",
        ["In[2], which made k for In[3], is below it"]),
    "twice on its own result": (
        {"A": "x = 1", "B": "x += 1", "R": RUN}, "A | B | B | R",
        ["In[2] and In[3] are the same cell, run again on its own result (x)"]),
    "appended twice": (
        {"A": "xs = []", "B": "xs.append(1)", "R": "%%track r\ny = len(xs)"}, "A | B | B | R",
        ["In[2] and In[3] are the same cell, run again on its own result (xs)"]),
    "a cell between that did not run": (
        {"A": "x = 1", "B": "x = 2", "R": RUN}, "A | R",
        ["the cell 'x = 2' above In[2] sets x too, but did not run"]),
    "a cell between that ran before": (
        {"A": "x = 1", "B": "x = 2", "R": RUN}, "A | B | A | R",
        ["the cell 'x = 2' above In[4] sets x too, but did not run in between"]),
    "an old value after an edit": (
        {"A": "x = 1", "B": "w = x", "R": "%%track r\ny = w"}, "A | B | A:x = 2 | A | R",
        ["the cell of In[1] was edited and run again as In[3], but the run still uses x of the earlier version"]),
    "an edited cell that went on": (
        {"A": "x = 1", "B": "x = x * 2", "R": RUN}, "A | B | B:x = x * 3 | B | R",
        ["the cell of In[2] was edited and run again as In[3], which continued with x of the earlier version"]),
    "drawn again": (
        {"S": "import numpy as np\nnp.random.seed(0)", "D": "x = np.random.rand()", "R": RUN}, "S | D | D | R",
        ["In[2] and In[3] are the same cell, run again on its own result (the random numbers of numpy)"]),
    "a generator used again": (
        {"S": "import numpy as np\nrng = np.random.default_rng(0)", "D": "x = rng.random()", "R": RUN},
        "S | D | D | R", ["In[2] and In[3] are the same cell, run again on its own result (rng)"]),
    "what an unknown function changed, again": (
        {"A": "import operator\nwords = ['a']", "B": "operator.iconcat(words, ['b'])", "R": "%%track r\ny = words[0]"},
        "A | B | B | R", ["In[2] and In[3] are the same cell, run again on its own result (words)"]),
    "what a function of a library changed, again": (
        {"A": "import heapq\nheap = [3, 4]", "B": "heapq.heappush(heap, 1)", "R": "%%track r\ny = heap[0]"},
        "A | B | B | R", ["In[2] and In[3] are the same cell, run again on its own result (heap)"]),
    "a file written below": (
        {"R": "%%track r\ny = open('f.txt').read()", "W": "with open('f.txt', 'w') as f:\n    f.write('1')"},
        "W | R", ["In[1], which made f.txt for In[2], is below it"]),
    "a name by exec from below": (
        {"A": "pass", "R": RUN, "Z": "exec('x = 3')"}, "Z | R", ["In[1], which made x for In[2], is below it"]),
    "several reasons": (
        {"A": "x = 1", "B": "z = 2", "R": "%%track r\ny = x + z + w", "Z": "w = 3"},
        "A | B | Z | -B | A:x = 4 | save | R",
        ["the cell of In[1] was edited after it ran", "In[2] ('z = 2') is not a cell of the notebook",
         "In[3], which made w for In[4], is below it"]),
}  # fmt: skip


@pytest.mark.some(2)
@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_said_of_a_run_that_its_notebook_repeats(name, notebook, records):
    cells, script = GOOD[name]
    notebook(cells).do(script)
    assert provenance(records).warnings == []


@pytest.mark.some(2)
@pytest.mark.parametrize("name", BAD)
def test_it_is_said_why_a_notebook_does_not_repeat_a_run(name, notebook, records):
    cells, script, reasons = BAD[name]
    notebook(cells).do(script)
    warnings = provenance(records).warnings
    assert len(warnings) == len(reasons), warnings
    for reason in reasons:
        assert [w for w in warnings if w.startswith(BECAUSE + reason)], (reason, warnings)


def test_a_client_with_ids_of_its_own_is_compared_by_the_code(notebook, records):
    session = notebook({"A": "x = 1", "B": "x = 2", "R": RUN, "Z": "x = 5"})
    session.shell.user_ns["__vsc_ipynb_file__"] = str(session.path)
    for name in ("A", "B", "R"):
        session.run(session.cells[name], f"vscode-notebook-cell:/mein%20notizbuch.ipynb#{name}")
    assert provenance(records).warnings == []
    session.run("x = 5", "vscode-notebook-cell:/mein%20notizbuch.ipynb#Z")
    session.run(RUN, "vscode-notebook-cell:/mein%20notizbuch.ipynb#R")
    assert provenance(records).warnings == [f"{BECAUSE}In[4], which made x for In[5], is below it"]


def test_nothing_is_said_of_a_notebook_that_the_cells_are_not_of(notebook, records):
    session = notebook({"A": "import math", "B": "other = 1"})
    session.save()
    for source in ("x = 1", "import math", "y = x", "z = math.floor(y)", "%%track r\nw = z"):
        session.run(source, "")
    assert provenance(records).warnings == []


def test_a_notebook_that_cannot_be_read_says_nothing(notebook, records):
    session = notebook(TWO)
    session.path.write_text("no json", encoding="utf-8")
    session.do("A | R")
    assert provenance(records).warnings == []
    session.path.unlink()
    session.do("R")
    assert provenance(records).warnings == [] and len(records.of(Provenance)) == 2


def test_names_that_no_cell_created_are_reported(notebook, records):
    session = notebook({"A": "x = 1", "R": "%%track r\ny = x + seen"})
    session.shell.user_ns["seen"] = 3
    session.do("A | R")
    assert provenance(records).warnings == [f"{BECAUSE}In[2] uses seen, which no cell of this session created"]


def test_cells_that_changed_something_lasting_stay_with_a_run(notebook, records):
    session = notebook({})
    for source in ("import os", "os.environ['A_SETTING'] = '1'", "unused = 1", "%%track r\ny = 1"):
        session.run(source, "")
    assert rests_on(records) == ["import os", "os.environ['A_SETTING'] = '1'", "%%track r\ny = 1"]


def test_what_a_failed_cell_did_before_it_failed_counts(notebook, records):
    session = notebook({})
    for source in ("x = 1", "x = 2\nx / 0", "%%track r\ny = x"):
        session.run(source, "")
    assert rests_on(records) == ["x = 2\nx / 0", "%%track r\ny = x"]


def test_training_through_a_function_of_the_notebook_counts(notebook, records):
    session = notebook({})
    fit = "def fit(model, values):\n    model['mean'] = sum(values)"
    for source in (fit, "m = {}", "fit(m, [1, 2])", "len(m)", "%%track r\ny = m['mean']"):
        session.run(source, "")
    assert rests_on(records) == [fit, "m = {}", "fit(m, [1, 2])", "%%track r\ny = m['mean']"]


def test_what_an_editor_asks_after_each_cell_is_kept_in_brief(notebook, records):
    session = notebook(TWO)
    session.do("A")
    question = f"def _ask(name):\n    return [name, {'0, ' * 2000}]\nasked = len(_ask(x))\ndel _ask, asked"
    session.shell.run_cell(question, store_history=False)
    session.shell.run_cell(f"{question}\nleft = 1", store_history=False)
    session.do("R")
    asked, changed = [cell for cell in records.of(CellExecuted) if cell.status == "ok" and not cell.count]
    assert question.startswith(asked.source) and 0 < len(asked.source) < 3000 and asked.reads == ["x"]
    # What left something behind may be what a run rests on.
    assert changed.source == f"{question}\nleft = 1" and changed.writes == ["left"]
