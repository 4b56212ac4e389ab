"""Logged requests are answered by a version before a user sees its answers, on a real endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import DeployRequest, RegisterRequest, RollbackRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.prediction import request_predictions
from mlops_workbench.core.errors import GateFailed, Quarantined
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

TRAIN = pd.DataFrame({"delay": np.arange(40.0), "carrier": ["AA", "UA"] * 20, "tail": [f"N{i}" for i in range(40)]})
#: A carrier that no training data had, in two of the rows.
ASKED = pd.DataFrame({"delay": [1.0, 2.0, 3.0, 4.0], "carrier": ["AA", "ZZ", "UA", "ZZ"], "tail": ["N1"] * 4})


def fitted(unknown: str, slope: float, columns: tuple[str, ...] = ("delay", "carrier")) -> tuple[Any, pd.DataFrame]:
    encode = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["carrier"]), remainder="passthrough")
    if "tail" in columns:
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown=unknown), ["carrier", "tail"]), remainder="passthrough"
        )
    X = TRAIN[list(columns)]
    return make_pipeline(encode, LinearRegression()).fit(X, slope * TRAIN["delay"]), X


@pytest.fixture
def record(workspace: Workspace) -> Iterator[Callable[..., str]]:
    session = Session(workspace)

    def one(name: str, *given: Any) -> str:
        model, X = fitted(*given)
        run = session.start_run(name, experiment="replays")
        run.log_model(model, X=X)
        run.end("FINISHED")
        return run.uid

    yield one
    session.close()


def mlops(workspace: Workspace, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_workbench.cli", *words], cwd=workspace.root, capture_output=True, text=True,
        check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def logged(workspace: Workspace, rows: int) -> None:
    """Wait until the log has a number of rows."""
    deadline = time.monotonic() + 60
    folder = workspace.predictions / "endpoint=delays"
    while sum(len(pd.read_parquet(file)) for file in folder.rglob("*.parquet") if file.name[0] != ".") < rows:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_version_answers_the_last_requests_before_it_is_served(
    workspace: Workspace, record: Callable[..., str], stopped: Callable[[Workspace], None]
) -> None:
    settings = "[serving]\nlog_seconds = 0.2\n[data]\npersonal = ['tail']\n"
    (workspace.root / "workbench.toml").write_text(settings)
    workspace = Workspace.open(workspace.root)
    stopped(workspace)
    for name, given in {
        "first": ("ignore", 1.0), "fails": ("error", 1.0), "same": ("ignore", 1.0), "other": ("ignore", 3.0),
        "tails": ("ignore", 1.0, ("delay", "carrier", "tail")),
    }.items():  # fmt: skip
        record(name, *given)
    with Client.connect(workspace) as client:
        client.register("delays", RegisterRequest("first", alias="champion"))
        endpoint = client.deploy("delays", DeployRequest("delays@champion"))
        assert client.releases("delays")[0].replay is None, "there was nothing to replay"
        before = request_predictions(endpoint, ASKED).to_numpy()
        logged(workspace, 4)

        # The endpoint follows the alias, so that this is where a switch is decided.
        with pytest.raises(GateFailed, match="it fails on 2 of 4 rows that were answered"):
            client.register("delays", RegisterRequest("fails", alias="champion"))
        refused = client.audit(action="model.refuse")[0]
        assert refused.evidence is not None and refused.evidence.checks[-1].kind == "replay"
        assert "unknown categories" in refused.evidence.checks[-1].detail
        assert (client.endpoint("delays").version, len(client.releases("delays"))) == (1, 1)

        same = client.register("delays", RegisterRequest("same", alias="champion"))
        assert same.gate is not None and "100.0 % with the same answer" in same.gate.checks[-1].detail
        endpoint = client.wait_endpoint("delays", 3)
        assert request_predictions(endpoint, ASKED).to_numpy() == pytest.approx(before)
        release = client.releases("delays")[0]
        replay = release.replay
        assert replay is not None and (replay.rows, replay.compared, replay.agree, replay.errors) == (4, 4, 4, 0)
        assert (replay.against, replay.version, replay.max_difference) == ([1], 3, pytest.approx(0, abs=1e-6))
        assert (release.kind, release.replaced, release.until_ms) == ("alias", 1, 0) and release.from_ms

        # By hand, with what differs.
        logged(workspace, 8)
        client.register("delays", RegisterRequest("other"))
        code, text = mlops(workspace, "deploy", "delays/4", "--name", "delays")
        assert code == 0, text
        assert "answered by version 4, compared with version 3" in text and "same answer" in text
        table = client.releases("delays")[0].replay
        assert table is not None and table.agree < table.compared == 4
        difference = np.abs(request_predictions(client.endpoint("delays"), ASKED).to_numpy() - before)
        assert table.max_difference == pytest.approx(difference.max())
        assert table.mean_difference == pytest.approx(difference.mean())
        worst = table.differ[0]
        assert worst.inputs["delay"] == str(ASKED["delay"][int(difference.argmax())]) and worst.row == 3

        # A version that fails on what is answered now is served for a reason only.
        logged(workspace, 12)
        with pytest.raises(GateFailed, match="2 of 4"):
            client.deploy("delays", DeployRequest("delays/2"))
        assert client.deploy("delays", DeployRequest("delays/2", override="ZZ flies no more")).version == 2
        assert client.releases("delays")[0].reason.endswith("answered: ZZ flies no more") or (
            "ZZ flies no more" in client.releases("delays")[0].reason
        )

        # Back, with a reason; what was left is named where it is asked for.
        code, text = mlops(workspace, "rollback", "delays")
        assert code == 2 and "from version 2 to version 4" in text and "--reason" in text
        assert client.endpoint("delays").version == 2
        code, text = mlops(workspace, "rollback", "delays", "--reason", "ZZ flies again")
        assert code == 0 and "from version 2 to version 4" in text and "version 2 is in quarantine" in text
        client.rollback("delays", RollbackRequest("too high", leaves=4))
        assert client.endpoint("delays").version == 3
        with pytest.raises(Quarantined, match="too high"):
            client.deploy("delays", DeployRequest("delays/4"))

        # Its tail numbers are not in the log, so nothing can be asked.
        client.register("delays", RegisterRequest("tails"))
        client.deploy("delays", DeployRequest("delays/5"))
        hidden = client.releases("delays")[0].replay
        assert hidden is not None and (hidden.compared, hidden.left_out) == (0, hidden.rows)
        assert "personal or secret columns 'tail'" in hidden.why_left_out

        versions = [(one.version, one.kind) for one in client.releases("delays")]
        kinds = ["deploy", "rollback", "rollback", "deploy", "deploy", "alias", "deploy"]
        assert versions == list(zip([5, 3, 4, 2, 4, 3, 1], kinds, strict=True))
        shown = mlops(workspace, "models", "delays")[1]
        assert "in quarantine" in shown and "too high" in shown
        then = json.loads(mlops(workspace, "releases", "delays", "--at", "today", "--json")[1])
        assert [one["version"] for one in then] == [5, 3, 4, 2, 4, 3, 1]
        spans = [(one["from_ms"], one["until_ms"]) for one in then][::-1]
        assert all(start and end == following[0] for (start, end), following in zip(spans, spans[1:], strict=False))
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(spans[0][0] / 1000 + 1))
        assert 1 in [one["version"] for one in json.loads(
            mlops(workspace, "releases", "delays", "--at", moment, "--json")[1]
        )]  # fmt: skip
        assert "answered no requests" in mlops(workspace, "releases", "delays", "--at", "2020-01-01")[1]
        code, text = mlops(workspace, "releases", "delays", "--at", "someday")
        assert code == 2 and "last tuesday" in text
        client.remove_endpoint("delays")
        deadline = time.monotonic() + 60
        while client.releases("delays")[1].until_ms == 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.releases("delays")[0].kind == "remove"
