"""``%mlops`` in a real kernel: commands, results that are readable when saved, errors that fail the cell."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager, start_new_kernel

from mlops_workbench.client.client import Client
from mlops_workbench.client.launch import read_address
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

HEAVY = ("mlflow", "pandas", "numpy", "sklearn", "plotly", "fastapi", "sqlalchemy", "httpx", "pyarrow", "click", "rich")


class Kernel:
    """A kernel that runs cells and answers with their outputs."""

    def __init__(self, folder: Path) -> None:
        self.manager: KernelManager
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))

    def run(self, source: str) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
                outputs.append({"type": message["msg_type"], **message["content"]})

        self.client.execute_interactive(source, output_hook=keep, timeout=120, allow_stdin=False)
        return outputs

    def text(self, source: str) -> str:
        """What a cell shows, when a busy machine has read the records of the cells before."""
        deadline = time.monotonic() + 60
        while True:
            found = "".join(
                str(
                    output.get("text")
                    or output.get("data", {}).get("text/plain")
                    or "\n".join(output.get("traceback", []))
                )
                for output in self.run(source)
            )
            if "new records are still being read" not in found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def complete(self, code: str) -> list[str]:
        return list(self.client.complete(code, reply=True, timeout=60)["content"]["matches"])

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def shown(output: dict[str, Any]) -> str:
    if output["type"] == "stream":
        return str(output["text"])
    return "\n".join(output["traceback"]) if output["type"] == "error" else str(output["data"]["text/plain"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("commands") / "ein Ordner"
    folder.mkdir()
    workspace = Workspace.init(folder)
    yield workspace
    try:
        with Client.connect(workspace, start=False) as client:
            client.shutdown()
    except WorkbenchError:
        pass
    address = read_address(workspace)
    if address is not None:
        address.process.stop(grace=20)


@pytest.fixture(scope="module")
def kernel(home: Workspace) -> Iterator[Kernel]:
    kernel = Kernel(home.root)
    yield kernel
    kernel.close()


def test_loading_the_extension_imports_nothing_heavy(kernel: Kernel) -> None:
    said = kernel.text(
        "import sys; before = set(sys.modules)\n%load_ext mlops_workbench\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules and name not in before])"
    )
    assert said.strip() == "[]"


def test_commands_return_text_and_static_html(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    kernel.run("%mlops experiment <b>wörk</b>")
    for name, value in (("one", 1), ("two", 2)):
        card = kernel.run(f"%%track {name}\ndepth = {value}\nfrom mlops_workbench import log\nlog(mae={value}.5)")
        assert any("text/html" in output.get("data", {}) for output in card)
    [table, *figures] = kernel.run("%mlops compare")
    assert set(table["data"]) == {"text/plain", "text/html"}
    assert "depth" in table["data"]["text/plain"]
    assert "<script" not in table["data"]["text/html"]
    assert "<b>wörk</b>" not in table["data"]["text/html"]
    assert [figure["data"]["text/plain"] for figure in figures] == [
        "[figure: parallel coordinates]",
        "[figure: mae by depth]",
    ]
    for figure in figures:
        assert {"application/vnd.plotly.v1+json", "text/html", "text/plain"} == set(figure["data"])
        json.dumps(figure["data"])
    assert "one" in kernel.text("%mlops runs")
    assert "1.5" in kernel.text("%mlops show one")


def test_a_result_is_a_value_that_programs_can_use(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    assert "DataFrame" in kernel.text("answer = %mlops runs\nprint(type(answer.frame()).__name__, type(answer.data))")
    found = json.loads(kernel.text("%mlops runs --json"))
    assert {"one", "two"} <= {run["name"] for run in found}


def test_runs_are_filtered_sorted_and_read_by_programs(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    kernel.run("%mlops experiment filtered")
    for name, value in (("near", 1), ("far", 9), ("mid", 5)):
        kernel.run(
            f"%%track {name} --tag side='a b'\ndepth = {value}\nfrom mlops_workbench import log\n"
            f"log({{'val mae': {value}, 'gain': -{value}}})"
        )
    answer = "answer = %mlops runs {}\nprint(*[run.name for run in answer.data])"
    assert kernel.text(answer.format('metrics."val mae" > 2 and params.depth < 8')).strip() == "mid"
    assert (
        kernel.text(answer.format("metrics.gain > -6 and tags.side = 'a b' --sort params.depth")).strip() == "mid near"
    )
    assert kernel.text(answer.format("--sort 'metrics.val mae'")).strip() == "near mid far"
    assert kernel.text(answer.format("--sort metrics.gain --ascending")).strip() == "far mid near"
    shown = kernel.text("%mlops runs --columns name,params.depth,gain")
    assert "params.depth" in shown and "−9" in shown
    assert "hint" in kernel.text("%mlops runs metrics.mae >")
    said = kernel.text(
        "from mlops_workbench import runs\n"
        "found = runs('params.depth > 2', 'filtered', order_by='metrics.gain DESC')\n"
        "print(list(found['run_name']), found['metrics.gain'].tolist(), str(found['start_time'].dt.tz))"
    )
    assert said.strip() == "['mid', 'far'] [-5.0, -9.0] UTC"


def test_a_name_alone_compares_its_runs_and_shows_what_was_changed(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    kernel.run("%mlops experiment repeated")
    for rate in (1, 2):
        kernel.run(f"%%track again\nrate = {rate}\nfrom mlops_workbench import log\nlog(loss=1 / {rate})")
    text = kernel.text("%mlops compare again")
    assert "-rate = 1\n+rate = 2" in text and "best: loss 0.5 by again (" in text


FITTED = """
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV
from mlops_workbench import track
X, y = [[float(i), i % 3] for i in range(60)], [i * 2.0 for i in range(60)]
"""
LOOP = """
for alpha in (100.0, 1.0, 10.0):
    with track("fit", params={"alpha": alpha}):
        model = Ridge(alpha=alpha).fit(X, y)
        mae = mean_absolute_error(y, model.predict(X))
"""


def test_a_loop_of_runs_is_compared_and_its_winner_is_registered(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench\n" + FITTED)
    kernel.run("%mlops experiment loop")
    kernel.run("%%track before\nmae = mean_absolute_error(y, y)")
    for cell in (LOOP, "%%track whole\n" + LOOP.strip()):
        kernel.run(cell)
        said = kernel.text(
            "answer = %mlops compare\n"
            "best = min(answer.data, key=lambda run: run.metrics['mae'])\n"
            "print([(run.name, run.params['alpha']) for run in answer.data], best.uid)"
        )
        runs, _, best = said.strip().rpartition(" ")
        assert runs == "[('fit', '10.0'), ('fit', '1.0'), ('fit', '100.0')]"
        kernel.run("del model")
        assert "Ridge" in kernel.text(f"%mlops register {best[-8:]} --as winner")
        loser = kernel.text("print([run.uid for run in answer.data if run.params['alpha'] == '100.0'][0])").strip()
        assert f"the best by mae was kept: that of 'fit' with the id {best[-8:]}" in kernel.text(
            f"%mlops register {loser} --as winner"
        )
    who = kernel.text(
        "trail = %mlops audit winner\nprint([(e.seq, e.action, e.actor.source, e.actor.declared) for e in trail.data])"
    )
    assert who.strip() == "[(2, 'model.register', 'notebook', True), (1, 'model.register', 'notebook', True)]"
    assert "the audit trail is whole" in kernel.text("%mlops audit verify")
    kernel.run("%%track after\nmae = mean_absolute_error(y, y)")
    names = kernel.text("answer = %mlops compare\nprint([run.name for run in answer.data])").strip()
    assert names == "['after', 'whole', 'fit', 'before']"


def test_the_candidates_of_a_search_are_compared_by_its_name(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench\n" + FITTED)
    kernel.run("%mlops experiment searches")
    for name in ("first", "grid", "grid"):
        kernel.run(f"%%track {name}\nsought = GridSearchCV(Ridge(), {{'alpha': [100.0, 1.0, 10.0]}}, cv=3).fit(X, y)")
    for named in ("grid", "sought"):
        said = kernel.text(
            f"answer = %mlops compare {named}\nprint([(r.name, r.params['alpha']) for r in answer.data])"
        )
        assert said.strip() == "[('grid/2', '1.0'), ('grid/3', '10.0'), ('grid/1', '100.0')]", named
    best = kernel.text("print(answer.data[0].uid)").strip()
    assert "Ridge" in kernel.text(f"%mlops register {best} --as best-of-search")


def test_an_error_fails_the_cell_with_its_message(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    for line, part in (("rnus", "runs"), ("show nothing-like-this", "no run"), ("register two", "--as")):
        outputs = kernel.run(f"%mlops {line}")
        assert outputs[-1]["type"] == "error", line
        said = shown(outputs[-1])
        assert part in said
        assert "Traceback" not in said
        assert "hint" in said


def test_an_error_in_a_cell_ends_at_the_users_line(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench\nfrom mlops_workbench import feedback, log, log_model, track")
    for source, line, message in (
        ("%%track bad\nlog(loss='high')", "log(loss='high')", "metric 'loss' is not a number"),
        ("feedback('nobody', 1, 1)", "feedback('nobody', 1, 1)", "no endpoint 'nobody'"),
        ("@track\ndef fit(depth):\n    log(depth=depth)\nfit('deep')", "log(depth=depth)", "metric 'depth'"),
        (
            "from sklearn.linear_model import Ridge\nwith track('unfit'):\n    log_model(Ridge())",
            "log_model(Ridge())",
            "this Ridge is not fitted",
        ),
    ):
        [error] = [shown(output) for output in kernel.run(source) if output["type"] == "error"]
        text = re.sub(r"\x1b\[[0-9;]*m", "", error)
        assert line in text and message in text
        assert "File " not in text, text


def test_help_lists_the_commands(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    assert "register" in kernel.text("%mlops --help")
    assert "%mlops register" in kernel.text("%mlops register --help")


def test_commands_and_names_are_completed(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    assert {"register"} <= set(kernel.complete("%mlops reg"))
    assert "--gate" in kernel.complete("%mlops register one --g")
    assert "one" in kernel.complete("%mlops show o")


def test_no_output_contains_control_characters_of_others(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    kernel.run("from mlops_workbench import log, log_param, tag, track\nevil = '\\x1b]0;owned\\x07\\x1b[2J\\u202etxt'")
    outputs = kernel.run(
        "%%track --param a=1\nimport time\n"
        "tag(**{evil: evil}); log_param(evil, evil); log({evil: 1.5})\n"
        "for _ in track.progress(range(3), desc=evil): time.sleep(0.5)\n"
        "with track(evil): log({evil: 2.5})\n"
    )
    for line in (
        "%mlops runs --all", "%mlops experiment", "get_ipython().run_line_magic('mlops', 'show ' + evil)",
        "get_ipython().run_line_magic('mlops', 'experiment ' + evil)", "track(evil, experiment=evil).__enter__()",
        "from mlops_workbench.capture.kernel.notices import notify\nnotify(evil)",
        "get_ipython().run_line_magic('track', '--no ' + evil)",
    ):  # fmt: skip
        outputs += kernel.run(line)
    assert {output["type"] for output in outputs} >= {"display_data", "execute_result", "stream", "error"}
    for output in outputs:
        parts = {
            **output.get("data", {}),
            "text": output.get("text", ""),
            "trace": "\n".join(output.get("traceback", [])),
        }
        for part in parts.values():
            # IPython colours tracebacks, and a widget is not text.
            plain = re.sub(r"\x1b\[[0-9;]*m", "", part) if isinstance(part, str) else ""
            assert visible(plain) == plain


def test_the_offered_data_is_a_table_of_this_notebook_or_a_placeholder(kernel: Kernel) -> None:
    kernel.run("%load_ext mlops_workbench")
    kernel.run(
        "import pandas as pd\nother = pd.DataFrame({'a': [1]})\nmine = pd.DataFrame({'a': [1], 'b': [2]})\nx = 1"
    )
    ask = "from mlops_workbench.magics.notebook import Notebook\nprint(Notebook(get_ipython()).data_with({columns}))"
    assert kernel.text(ask.format(columns=["a", "b"])).strip() == "mine.head()"
    assert kernel.text(ask.format(columns=["c"])).strip() == "DATA"
    assert kernel.text(ask.format(columns=[])).strip() == "DATA"
