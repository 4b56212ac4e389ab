"""The values of the secrets of a stage reach nothing that its kernel writes into the workspace."""

from __future__ import annotations

import json

import pytest
from kernels import Kernel

from mlops_workbench.core.records import Artifact, Metrics, Params, RunEnd, Tags
from mlops_workbench.core.workspace import Workspace

pytestmark = pytest.mark.process

STAGE = "cd" * 16
# No pattern would take them for secrets.
WORD, DIGITS, QUOTED = "bluewhale", "40718263", 'two "words"\\'
USES = """
import os, warnings
import pandas as pd
import matplotlib.pyplot as plt
from mlops_workbench import log, log_artifact, log_params, log_table, tag, track
word, digits, quoted = os.environ["WORD"], os.environ["DIGITS"], os.environ["QUOTED"]
print("it is", word, digits, quoted)
warnings.warn(f"beware of {word}")
depth = 3
log({f"of {word}": 1.0})
log_params(chosen=word, listed=[word, quoted], number=int(digits), inner={word: 1})
tag(colour=f"like {word}", **{word: "name"})
log_artifact(f"text {word}\\n{quoted!r}".encode(), "note.txt")
log_artifact(f'{{"a": {digits}, "b": "{word}"}}'.encode(), "plain.json")
with open("report.md", "w") as file:
    file.write(f"{word} and {quoted}")
log_artifact("report.md")
log_table(pd.DataFrame({"x": [word, "other"], "n": [int(digits), 2]}), "cells")
"""


@pytest.fixture
def stage(tmp_path):
    root = Workspace.init(tmp_path / "space").root
    kernel = Kernel(
        root,
        MLOPS_RUN_UID=STAGE,
        MLOPS_EXPERIMENT="shop",
        MLOPS_SECRET_NAMES="WORD,DIGITS,QUOTED,UNSET",
        WORD=WORD,
        DIGITS=DIGITS,
        QUOTED=QUOTED,
    )
    yield kernel
    kernel.close()


def leaks(root):
    """The files of the workspace's state that hold a secret."""
    forms = [
        form.encode()
        for secret in (WORD, DIGITS, QUOTED)
        for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1])
    ]
    files = [path for path in (root / ".mlops").rglob("*") if path.is_file()]
    assert files
    return [
        (str(path), form) for path in files for form in forms if form in path.read_bytes() or form.decode() in path.name
    ]


def test_no_file_of_the_workspace_holds_a_secret_that_a_stage_used(stage):
    stage.run(USES)
    stage.run(f"spelled = '{WORD}'\nprint(spelled)")
    stage.run("pd.DataFrame({'a': [word, digits]})")
    stage.run("fig, axes = plt.subplots()\naxes.set_title(word)\nfig")
    stage.run("%%track \"the bluewhale\"\nprint(word, quoted)\nraise ValueError(f'{word} and {quoted!r}')", fails=True)
    stage.run("with track(word):\n    note = word\n    log_params(note=note)")
    stage.run("raise KeyError(word)", fails=True)
    stage.run(
        "from sklearn.linear_model import Ridge\n"
        "X = pd.DataFrame({'a': [1.0, 2, 3]})\nmodel = Ridge().fit(X, [1, 2, 3])"
    )
    stage.run(
        "from sklearn.preprocessing import OneHotEncoder\nfrom sklearn.pipeline import make_pipeline\n"
        "from mlops_workbench import log_model\n"
        "Z = pd.DataFrame({'kind': [word, 'x', 'y'] * 5})\n"
        "pipe = make_pipeline(OneHotEncoder(), Ridge()).fit(Z, list(range(15)))\nlog_model(pipe)"
    )
    stage.run("log_artifact(bytes([0xff, 0xfe]) + word.encode(), 'binary.bin')")
    stage.run("pass")
    stage.close()
    assert leaks(stage.root) == []
    records = stage.records
    params = {name: value for record in records.of(Params) for name, value in record.values.items()}
    assert params["chosen"] == "***" and params["listed"] == ["***", "***"] and params["number"] == "***"
    assert params["depth"] == 3 and params["inner"] == {"***": 1}
    assert {"of ***"} <= {name for record in records.of(Metrics) for name in record.values}
    assert records.values(Tags, "***") is not None
    texts = {a.path: (a.size, records.blob(a.digest)) for a in records.of(Artifact)}
    assert texts["note.txt"][1].startswith(b"text ***\n") and texts["note.txt"][0] == len(texts["note.txt"][1])
    assert json.loads(texts["plain.json"][1]) == {"a": "***", "b": "***"}
    assert texts["report.md"][1] == b"*** and ***" and "binary.bin" not in texts
    assert json.loads(texts["cells.json"][1])["data"][1][0] in ("other", "***")
    end = next(end for end in records.of(RunEnd) if end.status == "FAILED")
    assert end.error.startswith("ValueError: *** and") and "***" in end.output
    assert WORD in (stage.root / "report.md").read_text()
