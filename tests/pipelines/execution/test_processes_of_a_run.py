"""A run that is cancelled or fails leaves no process behind, however that was started; and it needs no parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from notebook_files import write
from stage_plans import Plans, finished, gone, living, records_of, until

from mlops_workbench.core import records
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.nouns import RetrySpec
from mlops_workbench.pipelines.executors.left_behind import processes_of
from mlops_workbench.pipelines.runs.events import AttemptFailed, read_run_events
from mlops_workbench.pipelines.runs.progress import launched_process

pytestmark = pytest.mark.process

#: Starts children that will not end by themselves, and writes their ids to files in `folder`.
CHILDREN = """
import os, pathlib, signal, subprocess, sys
STUBBORN = (
    "import os, pathlib, signal, sys, time\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\\n"
    "signal.signal(signal.SIGHUP, signal.SIG_IGN)\\n"
    "if sys.argv[2] == 'orphan' and os.fork(): os._exit(0)\\n"
    "if sys.argv[2] == 'orphan': os.setsid()\\n"
    "path = pathlib.Path(sys.argv[1], sys.argv[2])\\n"
    "path.with_suffix('.new').write_text(str(os.getpid())); path.with_suffix('.new').rename(path)\\n"
    "time.sleep(600)"
)
def start(kind, **options):
    subprocess.Popen([sys.executable, "-c", STUBBORN, folder, kind], **options)
start("plain")
start("session", start_new_session=True)
start("bare", env={})
start("orphan")
while len([name for name in os.listdir(folder) if "." not in name]) < 4:
    pass
print("begun", flush=True)
open(os.path.join(folder, "all.begun"), "w").close()
"""
KINDS = ("plain", "session", "bare", "orphan")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("processes"))


def with_children(place: Workspace, folder: Path, end: str) -> Plans:
    plans = Plans(place)
    notebook = write(place.pipeline_specs / f"{folder.name}.ipynb", CHILDREN, end, parameters="folder = ''")
    plans.stage("parent", notebook, params={"folder": str(folder)})
    return plans


def children(folder: Path) -> list[psutil.Process]:
    """Those that are still there; each of them has written its id before the notebook goes on."""
    found = []
    for kind in KINDS:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(int((folder / kind).read_text())))
    return found


def test_a_cancelled_run_ends_all_that_its_notebook_has_started(place: Workspace, tmp_path: Path) -> None:
    plans = with_children(
        place, tmp_path, "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"
    )
    run_id = plans.start()
    until(lambda: (tmp_path / "all.begun").exists() or None)
    runner = launched_process(read_run_events(plans.folder.events))
    assert runner is not None
    assert len(children(tmp_path)) == len(KINDS)
    started = [*children(tmp_path), *psutil.Process(runner.pid).children(recursive=True)]
    until(lambda: service.read_run(place, run_id).stages[0].cells == 3 or None)
    service.cancel_run(place, run_id)
    run = finished(place, run_id)
    assert gone(started), [p for p in started if living(p)]
    assert (run.state, run.stages[0].state) == ("cancelled", "cancelled")
    assert records_of(place, records.RunEnd, run.stages[0].run_uid)[0].status == "KILLED"
    notebook = nbformat.read(plans.folder.executed("parent", 1), as_version=4)
    assert "begun" in str(notebook)


def test_a_notebook_that_fails_leaves_no_process_behind(place: Workspace, tmp_path: Path) -> None:
    plans = with_children(place, tmp_path, "raise ValueError")
    assert plans.run().state == "failed"
    assert all((tmp_path / kind).exists() for kind in KINDS) and gone(children(tmp_path))


def test_a_killed_stage_leaves_no_process_behind_and_is_tried_again_for_that(place: Workspace, tmp_path: Path) -> None:
    plans = Plans(place)
    notebook = write(
        place.pipeline_specs / "killed.ipynb",
        "import os, pathlib, signal\nfirst = pathlib.Path(folder, 'first')\n"
        "if not first.exists():\n    first.write_text(str(os.getpid()))\n    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    import time; time.sleep(600)",
        parameters="folder = ''",
    )
    plans.stage("killed", notebook, params={"folder": str(tmp_path)}, retries=RetrySpec(max=1, on=("process_died",)))
    run = plans.run()
    assert run.state == "succeeded"
    (failed,) = [event for event in read_run_events(plans.folder.events) if isinstance(event, AttemptFailed)]
    assert failed.message == "the process of the stage was killed by SIGKILL"
    assert ProcessIdentity.of(int((tmp_path / "first").read_text())) is None


def test_a_run_survives_the_process_that_started_it(place: Workspace, tmp_path: Path) -> None:
    write(
        place.pipeline_specs / "waits.ipynb",
        "import pathlib, time\npathlib.Path(folder, 'begun').touch()\n"
        "while not pathlib.Path(folder, 'go').exists():\n    time.sleep(0.05)",
        parameters="folder = ''",
    )
    spec = f"version: 1\nstages:\n  waits: {{notebook: waits.ipynb, params: [{{folder: '{tmp_path}'}}]}}\n"
    (place.pipeline_specs / "waits.yaml").write_text(spec)
    code = (
        "import sys, pathlib, time\nfrom mlops_workbench.core.workspace import Workspace\n"
        "from mlops_workbench.pipelines import service\n"
        "print(service.start_run(Workspace.open(pathlib.Path(sys.argv[1])), 'waits', {}).id, flush=True)\n"
        "time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(place.root)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter, starter.stdout:
        run_id = starter.stdout.readline().strip()
        until(lambda: (tmp_path / "begun").exists() or None)
        starter.kill()
        starter.wait()
    assert service.read_run(place, run_id).state == "running"
    (tmp_path / "go").touch()
    assert finished(place, run_id).state == "succeeded"


def test_a_runner_finds_the_processes_that_it_has_started() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from mlops_workbench.pipelines.executors.left_behind import processes_of\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " env={'MLOPS_RUN_UID': '6' * 32}, start_new_session=True)\n"
        "found = [process.pid for process in processes_of('6' * 32, set())]\n"
        "child.kill()\n"
        "print(found == [child.pid])"
    )
    # The last argument stands for the module of a runner.
    command = [sys.executable, "-c", code, "mlops_workbench.pipelines.execution.runner"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_control_plane_that_a_notebook_started_is_not_a_part_of_its_run() -> None:
    code = "import subprocess, sys, time\n{}\nprint('up', flush=True)\ntime.sleep(600)"
    # The second argument stands for the module of a control plane, which has no run in its environment.
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {}], env={{}})"
    parent = subprocess.Popen(
        [sys.executable, "-c", code.format(child.format("'mlops_workbench.control'") + "\n" + child.format("'x'"))],
        env={**os.environ, "MLOPS_RUN_UID": "4" * 32},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        control, other = sorted(psutil.Process(parent.pid).children(), key=lambda p: p.pid)
        found = {process.pid for process in processes_of("4" * 32, set())}
        assert found == {parent.pid, other.pid} and control.pid not in found
        assert processes_of("5" * 32, set()) == []
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()
