"""What is read from the log and asked again gives the logged answers, and what differs is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model_folders import TRUSTED, build, table
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.monitoring.recent import recent_rows
from mlops_workbench.serving.log.answers import Answered, AnswerEncoder, decode_context, decode_record
from mlops_workbench.serving.log.protection import Protection
from mlops_workbench.serving.log.segments import segment, write_parquet
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.invocations import parse_invocation
from mlops_workbench.serving.replay import replay
from mlops_workbench.serving.runtimes.estimator import PREDICT, Runtime
from mlops_workbench.serving.runtimes.model_folder import ModelFolder

DAY_US = 86_400_000_000


@dataclasses.dataclass
class Log:
    """The log of an endpoint, with the answers of a runtime."""

    root: Path
    protection: Protection = dataclasses.field(default_factory=Protection)

    def answer(
        self,
        runtime: Runtime,
        rows: pd.DataFrame,
        *,
        request: str = "r",
        at_us: int = DAY_US,
        version: int = 1,
        status: int = 200,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        body = rows.to_json(orient="split", index=False, date_format="iso").encode()
        batch = parse_invocation(b'{"dataframe_split": ' + body + b"}", JSON, runtime.signature).batch
        prediction = runtime.predict(batch, outputs or runtime.outputs)
        answered = Answered(
            request, at_us, at_us, "m", version, "d", "champion", "invocations", status, 1, 1, batch, prediction
        )
        context, record = AnswerEncoder(self.protection).encode(answered)
        assert context is not None
        found = segment([(decode_context(context)[1], decode_record(record))])
        day = f"{pd.Timestamp(at_us, unit='us'):date=%Y-%m-%d}"
        write_parquet(self.root / "endpoint=e" / day / f"{request}-{version}.parquet", found)

    def recent(self, rows: int = 1000, version: int = 1):
        return recent_rows((self.root, self.root / "feedback", "e"), "m", version, rows)


def loaded(folder: Path) -> Runtime:
    settings = ServingSettings(trusted_types=TRUSTED)
    return Runtime.load(ModelFolder.open(folder, settings), settings)


@pytest.mark.parametrize("name", ["mixed", "text labels", "categories", "two targets", "texts"])
def test_a_version_gives_its_own_logged_answers_again(name: str, tmp_path: Path) -> None:
    case = build(name, tmp_path / "model")
    runtime, log = loaded(case.folder), Log(tmp_path / "log")
    rows = pd.DataFrame(case.rows)
    rows.columns = [column.name for column in runtime.signature.columns]
    log.answer(runtime, rows)
    log.answer(runtime, rows.head(3), request="labels", outputs=(PREDICT,))
    logged = log.recent()
    assert logged is not None and logged.num_rows == len(rows) + 3
    found = replay(runtime, logged, [], 60)
    assert (found.compared, found.agree, found.errors, found.left_out) == (len(rows) + 3, len(rows) + 3, 0, 0), found
    assert found.differ == [] and found.max_difference in (None, pytest.approx(0, abs=1e-9))


def test_the_last_answers_of_the_present_version_are_read(tmp_path: Path) -> None:
    runtime, log = loaded(build("linear", tmp_path / "model").folder), Log(tmp_path / "log")
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 0.0], "n": [1, 2]})
    for day, version in enumerate([2, 1, 2, 1, 3]):
        log.answer(runtime, rows, request=f"r{day}", at_us=(day + 1) * DAY_US, version=version)
    log.answer(runtime, rows, request="failed", at_us=9 * DAY_US, version=2, status=500)
    newest = log.recent(3, version=2)
    assert newest is not None and newest["request_id"].to_pylist() == ["r2", "r2", "r0"]
    assert newest["row"].to_pylist() == [0, 1, 0]
    # Without an answer of it, those of all count.
    assert log.recent(2, version=7)["request_id"].to_pylist() == ["r4", "r4"]
    assert recent_rows((log.root, tmp_path / "feedback", "e"), "other", 1, 5) is None
    assert recent_rows((log.root, tmp_path / "feedback", "none"), "m", 1, 5) is None


def test_rows_that_a_version_refuses_are_found_among_those_that_it_answers(tmp_path: Path) -> None:
    from model_folders import save_folder

    given = table()
    log = Log(tmp_path / "log")
    first = loaded(build("mixed", tmp_path / "first").folder)
    log.answer(first, given)
    logged = log.recent()
    numbers = given[["dep delay", "distance"]].fillna(0.0)
    # It takes no missing values, and two of the columns.
    strict = save_folder(tmp_path / "strict", LinearRegression().fit(numbers, np.arange(60.0)), numbers)
    found = replay(loaded(strict), logged, [], 60)
    missing = int(given["dep delay"].isna().sum())
    assert (found.errors, found.compared, found.left_out) == (missing, len(given) - missing, 0)
    assert found.problems and found.agree < found.compared
    differences = [row.difference for row in found.differ]
    assert differences == sorted(differences, reverse=True) and differences[0] == found.max_difference
    assert all(row.inputs["dep delay"] != "None" for row in found.differ)
    assert replay(loaded(strict), logged, [], 0).why_left_out.endswith("were not answered within 0 s")


def test_columns_that_are_not_in_the_log_are_named(tmp_path: Path) -> None:
    runtime = loaded(build("mixed", tmp_path / "model").folder)
    for in_log in ("hash", "drop"):
        log = Log(tmp_path / in_log, Protection(["tr*"], in_log, b"key"))
        log.answer(runtime, table())
        found = replay(runtime, log.recent(), ["tr*"], 60)
        assert (found.compared, found.errors, found.left_out) == (0, 0, 60)
        assert found.why_left_out == "the log has no values of the personal or secret columns 'träger'"
    linear = loaded(build("linear", tmp_path / "linear").folder)
    found = replay(linear, log.recent(), [], 60)
    assert found.why_left_out == "the version needs the columns 'a', 'b', 'n', which no logged row has"
