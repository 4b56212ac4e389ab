"""Logged requests are answered by a version before a user sees its answers, on a real endpoint."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

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
from mlops_workbench.commands.releases import answered
from mlops_workbench.core.errors import Conflict, GateFailed, Quarantined
from mlops_workbench.core.moments import Span
from mlops_workbench.core.workspace import Workspace

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

TRAIN = pd.DataFrame({"delay": np.arange(40.0), "carrier": ["AA", "UA"] * 20})
#: A carrier that no training data had, in two of the rows.
ASKED = pd.DataFrame({"delay": [1.0, 2.0, 3.0, 4.0], "carrier": ["AA", "ZZ", "UA", "ZZ"]})


@pytest.fixture
def record(workspace: Workspace) -> Iterator[Callable[[str, str, float], None]]:
    session = Session(workspace)

    def one(name: str, unknown: str, slope: float) -> None:
        encode = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["carrier"]), remainder="passthrough")
        model = make_pipeline(encode, LinearRegression()).fit(TRAIN, slope * TRAIN["delay"])
        run = session.start_run(name, experiment="replays")
        run.log_model(model, X=TRAIN)
        run.end("FINISHED")

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
    workspace: Workspace, record: Callable[[str, str, float], None], stopped: Callable[[Workspace], None]
) -> None:
    (workspace.root / "workbench.toml").write_text("[serving]\nlog_seconds = 0.2\n")
    workspace = Workspace.open(workspace.root)
    stopped(workspace)
    record("first", "ignore", 1.0)
    record("fails", "error", 1.0)
    record("other", "ignore", 3.0)
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

        # What differs is said, and by default that is all.
        other = client.register("delays", RegisterRequest("other", alias="champion"))
        assert other.gate is not None and "4 rows compared" in other.gate.checks[-1].detail
        endpoint = client.wait_endpoint("delays", 3)
        difference = np.abs(request_predictions(endpoint, ASKED).to_numpy() - before)
        release = client.releases("delays")[0]
        assert (release.kind, release.version, release.replaced) == ("alias", 3, 1)
        replay = release.replay
        assert replay is not None and (replay.rows, replay.compared, replay.errors, replay.against) == (4, 4, 0, [1])
        assert replay.max_difference == pytest.approx(difference.max())
        assert replay.mean_difference == pytest.approx(difference.mean())
        assert [row.row for row in replay.differ] == np.argsort(-difference)[: len(replay.differ)].tolist()
        assert replay.differ[0].inputs == {"delay": "4.0", "carrier": "ZZ"}

        # A version that fails on what is answered now is served for a reason only.
        logged(workspace, 8)
        with pytest.raises(GateFailed, match="2 of 4"):
            client.deploy("delays", DeployRequest("delays/2"))
        code, text = mlops(workspace, "deploy", "delays/2", "--override", "ZZ flies no more")
        assert code == 0 and "answered by version 2, compared with version 3" in text and "without an answer" in text
        assert client.endpoint("delays").version == 2
        assert "ZZ flies no more" in client.releases("delays")[0].reason

        # Back, with a reason; what would be left is named where it is asked for.
        code, text = mlops(workspace, "rollback", "delays")
        assert code == 2 and "from version 2 to version 3" in text and "--reason" in text
        assert client.endpoint("delays").version == 2
        code, text = mlops(workspace, "rollback", "delays", "--reason", "ZZ flies again")
        assert code == 0 and "from version 2 to version 3" in text and "version 2 is in quarantine" in text
        assert client.rollback("delays", RollbackRequest("too high", leaves=3)).version == 1
        with pytest.raises(Quarantined, match="too high"):
            client.deploy("delays", DeployRequest("delays@champion"))
        with pytest.raises(Conflict, match="ZZ flies again"):
            client.rollback("delays", RollbackRequest("too low"))

        shown = mlops(workspace, "releases", "delays", "--at", "today")[1]
        assert "too high" in shown and "answered by version 2, compared with version 3" in shown
        assert {one.version: one.quarantine is not None for one in client.versions("delays")} == {
            3: True, 2: True, 1: False,
        }  # fmt: skip
        history = client.releases("delays")
        assert [(one.version, one.kind) for one in history] == [
            (1, "rollback"), (3, "rollback"), (2, "deploy"), (3, "alias"), (1, "deploy"),
        ]  # fmt: skip
        # One follows the other without a gap, and the last one still answers.
        assert [one.until_ms for one in history] == [0, *(one.from_ms for one in history[:-1])]
        assert [one.from_ms - one.at_ms for one in history if one.from_ms < one.at_ms] == []
        then = Span(history[-1].from_ms, history[-1].from_ms, "")
        assert [one.version for one in history if answered(one, then)] == [1]
        client.remove_endpoint("delays")
        deadline = time.monotonic() + 60
        while client.releases("delays")[1].until_ms == 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.releases("delays")[0].kind == "remove"
