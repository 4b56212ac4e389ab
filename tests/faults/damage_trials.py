"""Each file of a workspace is damaged in each way: it is recovered, or refused with the way out; the rest goes on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pipeline_trials import write_pipeline
from sklearn.linear_model import LinearRegression
from trials import Counts, delivered, end, new_workspace, until

from mlops_workbench.capture import Session
from mlops_workbench.client.bodies import DeployRequest, RegisterRequest
from mlops_workbench.client.client import Client
from mlops_workbench.client.datasets import choose_version, find_versions
from mlops_workbench.client.prediction import request_predictions, send_feedback
from mlops_workbench.core.errors import StorageError, Unavailable, WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.snapshot import read_snapshot

X = pd.DataFrame({"größe": np.arange(600.0), "kind": np.arange(600) % 3})
Y = X["größe"] * 2

#: Parts of the product; a file that is damaged may cost the parts that are named beside it, and no other.
PARTS = ("runs", "data", "models", "endpoints", "monitors", "pipelines", "prediction")
#: The state of the control plane, which says what was lost.
STATE = "state"


@dataclass(frozen=True)
class File:
    """A file of a workspace: its pattern, the parts that need it, and whether it can be made again from others."""

    pattern: str
    needed_by: tuple[str, ...] = ()
    is_cache: bool = False


FILES = (
    File(".mlops/index.db", is_cache=True),
    File(".mlops/journal/delivery-local.db", is_cache=True),
    File(".mlops/control.db"),
    File(".mlops/mlflow.db", ("runs", "models", "data")),
    File(".mlops/journal/*.mlj"),
    File(".mlops/models/*/*/model.skops", is_cache=True),
    File(".mlops/models/*/*/mlops/manifest.json", is_cache=True),
    File(".mlops/endpoints/*/desired.json", is_cache=True),
    File(".mlops/endpoints/*/observed.json", is_cache=True),
    File(".mlops/run/token", is_cache=True),
    File(".mlops/artifacts/*/models/*/artifacts/model.skops"),
    File(".mlops/backups/*.db"),
    File(".mlops/predictions/endpoint=*/date=*/*.parquet", ("monitors",)),
    File(".mlops/feedback/endpoint=*/**/*.parquet", ("monitors",)),
    File(".mlops/snapshots/*", ("data",)),
    File(".mlops/pipelines/*/events*", ("pipelines",)),
    File(".mlops/pipelines/*/request*", ("pipelines",)),
    File("pipelines/work.yaml", ("pipelines",)),
    # Its settings may name another store: nothing is done with the defaults instead.
    File("workbench.toml", PARTS),
)


def _truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    # Headers, and places all over the file.
    for at in {*range(0, min(len(data), 64), 3), *range(0, len(data), max(len(data) // 50, 1))}:
        data[at] ^= 0x55
    file.write_bytes(data)


def _unreadable(file: Path) -> None:
    if os.geteuid():
        file.chmod(0)
        return
    # Root reads any file, but neither a folder nor a link to itself.
    file.unlink()
    if ".mlops" in file.parts:
        file.mkdir()
    else:
        file.symlink_to(file)


HARMS: dict[str, Callable[[Path], None]] = {
    "empty": lambda file: os.truncate(file, 0),
    "truncated": _truncated,
    "flipped bits": _flipped,
    "deleted": lambda file: file.unlink(),
    "unreadable": _unreadable,
}


def build(workspace: Workspace) -> None:
    """Use every part of the product once, and stop."""
    write_pipeline(workspace)
    with Client.connect(workspace) as client:
        session = Session(workspace)
        for number in range(3):
            run = session.start_run(f"run-{number}", experiment="damage")
            run.log({"mae": 1.0 + number})
            run.log_param("depth", number)
            run.log_dataset(X, "table", snapshot=True)
            run.log_model(LinearRegression().fit(X, Y), X=X, y=Y)
            run.end("FINISHED")
        session.close()
        until(lambda: delivered(client), "delivery")
        client.register("m", RegisterRequest("run-0", alias="champion"))
        client.register("m", RegisterRequest("run-1"))
        endpoint = client.deploy("e", DeployRequest("m@champion"), timeout=120)
        for _ in range(3):
            send_feedback(endpoint, request_predictions(endpoint, X.head(200)), Y.head(200))
        run = client.start_pipeline("work", {"number": 1})
        client.wait_pipeline(run.id, timeout=120)
        time.sleep(3)
        client.evaluate_monitor("e")
        until(lambda: delivered(client), "delivery")
    end(workspace)


@dataclass
class Found:
    """What a part shows, or why it does not."""

    value: Any = None
    problem: str = ""
    hint: str = ""


def look(workspace: Workspace) -> dict[str, Found]:
    """What each part shows; a control plane that does not start shows nothing."""
    try:
        with Client.connect(workspace) as client:
            found = {part: _look(part, workspace, client) for part in PARTS}
            return {**found, STATE: Found(client.status().processes[0].state)}
    except WorkbenchError as error:
        return {part: Found(problem=error.message, hint=error.hint or "") for part in (*PARTS, STATE)}
    except Exception as error:
        return {part: Found(problem=f"{type(error).__name__}: {error}") for part in (*PARTS, STATE)}


def _look(part: str, workspace: Workspace, client: Client) -> Found:
    try:
        return Found(_show(part, workspace, client))
    except WorkbenchError as error:
        return Found(problem=error.message, hint=error.hint or "")
    except Exception as error:
        return Found(problem=f"{type(error).__name__}: {error}")


def _show(part: str, workspace: Workspace, client: Client) -> Any:
    match part:
        case "runs":
            until(lambda: not client.status().ingest.backlog_bytes or client.status().ingest.problem, "delivery", 60)
            runs = client.runs(limit=100)
            return sorted(
                (r.name, r.status, sorted(r.metrics.items()), sorted(r.params.items()))
                for r in runs
                if r.name.startswith("run-")
            )
        case "data":
            version = choose_version(find_versions(client, "run-0"), "table")
            return read_snapshot(client.dataset_file(version.digest, "snapshot")).shape
        case "models":
            until(lambda: not is_made_again(client), "the models", 60)
            versions = [(v.version, v.aliases, v.metrics, v.run_uid) for v in client.versions("m")]
            return versions, client.models()[0].aliases
        case "endpoints":
            return [(e.name, e.model, e.wanted_version, e.previous) for e in client.endpoints()]
        case "monitors":
            report = client.evaluate_monitor("e")
            return report.spec, sum(window.rows for window in report.windows)
        case "pipelines":
            runs = client.pipeline_runs()
            if damaged := [run.message for run in runs if "damaged" in run.message or "cannot read" in run.message]:
                raise StorageError(damaged[0], hint="start the pipeline again; the notebooks that it ran are there")
            pipelines = client.pipelines()
            if problems := [pipeline.problem for pipeline in pipelines if pipeline.problem]:
                raise StorageError(problems[0], hint="mend the file that it names")
            return [p.name for p in pipelines], [(r.pipeline, r.state) for r in runs]
        case "prediction":

            def ready() -> Any:
                return next((e for e in client.endpoints() if e.name == "e" and e.state == "ready"), None)

            endpoint = until(ready, "the endpoint", 60)
            # Of the rows that were never sent before, so that the log of the other trials is as it was.
            return [round(float(value), 6) for value in request_predictions(endpoint, X.tail(2)).to_numpy()]


def is_made_again(client: Client) -> bool:
    """Whether models are being registered again."""
    try:
        client.versions("m")
    except Unavailable as error:
        return "registered again" in error.message
    except WorkbenchError:
        return False
    return "wait for their run" in client.status().processes[0].state


def _command_works(workspace: Workspace, refused: list[Found]) -> bool:
    """Whether the command that a refusal names, if any, ends the trouble."""
    commands = [match[1] for found in refused if (match := re.search(r"(mv \S+ \S+);", found.hint))]
    if not commands:
        return True
    subprocess.run(commands[0], shell=True, check=True)
    after = look(workspace)
    end(workspace)
    return not [found.problem for found in after.values() if found.problem]


@contextmanager
def full_workspace() -> Iterator[tuple[Workspace, Callable[[], None]]]:
    """A workspace in which everything was used, and a function that puts it back into that state."""
    with new_workspace() as workspace, tempfile.TemporaryDirectory(prefix="faults-copy-") as copy:
        build(workspace)
        shutil.copytree(workspace.root, Path(copy) / "root", symlinks=True)

        def restore() -> None:
            for path in workspace.root.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(Path(copy) / "root", workspace.root, symlinks=True, dirs_exist_ok=True)

        yield workspace, restore


def damage(
    files: tuple[File, ...] = FILES, harms: tuple[str, ...] = tuple(HARMS), report: Callable[[str], object] = print
) -> Counts:
    """Damage each file in each way.

    Returns
    -------
    counts : Counter
        `damaged` trials and those `damaged_handled`; `caches` and `caches_recovered`; `damaged_took_down_others`.
    """
    counts = Counts()
    with full_workspace() as (workspace, restore):
        restore()
        whole = look(workspace)
        end(workspace)
        assert not [found.problem for found in whole.values() if found.problem], whole
        for file in files:
            for harm in harms:
                restore()
                path = next(iter(sorted(workspace.root.glob(file.pattern))), None)
                assert path is not None, file.pattern
                HARMS[harm](path)
                found = look(Workspace.open(workspace.root, on_invalid=lambda _: None))
                end(workspace)
                lost = {part for part in PARTS if found[part].value != whole[part].value}
                others = lost - set(file.needed_by)
                refused = [found[part] for part in lost if found[part].problem]
                # What was deleted cannot be missed by who only has what is left.
                is_said = harm == "deleted" or found[STATE].value not in (None, "running")
                silent = [part for part in lost if not found[part].problem and not is_said]
                has_hints = all(part.hint for part in refused)
                handled = not others and not silent and has_hints and _command_works(workspace, refused)
                counts["damaged"] += 1
                counts["damaged_handled"] += handled
                counts["damaged_took_down_others"] += bool(others)
                counts["caches"] += file.is_cache
                counts["caches_recovered"] += file.is_cache and not lost
                if lost:
                    reasons = {f"{part.problem} / {part.hint}" for part in refused}
                    report(f"{file.pattern}, {harm}: lost {sorted(lost)}, in silence {silent}: {reasons}")
    return counts
