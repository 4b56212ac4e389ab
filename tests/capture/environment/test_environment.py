"""The environment of runs of this process."""

import contextlib
import json
import os
import subprocess
import sys
from importlib import import_module, metadata

import pytest
from kernels import until

from mlops_workbench import log, track
from mlops_workbench.capture.environment.distributions import Distributions, describe_packages, imported_modules
from mlops_workbench.capture.environment.machine import parse_gpus
from mlops_workbench.capture.environment.variables import described_variables
from mlops_workbench.core.records import Artifact, RunEnd, RunStart, Tags
from mlops_workbench.core.secrets import MASK


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "ein repo"
    folder.mkdir()
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    (folder / "a.py").write_text("a = 1\n")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mlops_workbench.capture.session.session.notebook_path", lambda: "")
    return folder


def artifacts(records, run, path="environment.json"):
    uid = records.start(run).run_uid
    return [r for r in records.all() if isinstance(r, Artifact) and r.run_uid == uid and r.path == path]


def environment(records, run):
    """The environment of a run once it holds what it had at its end."""
    found = until(lambda: artifacts(records, run), "the environment")
    return json.loads(records.blob(found[-1].digest))


def settled(session):
    until(lambda: not session.surroundings.environments._open, "the environments of all runs")


def test_a_run_knows_its_repository_interpreter_machine_and_packages(session, records, repository, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    (repository / "a.py").write_text("a = 2\n")
    (repository / "note.txt").write_text("x")
    with track("r"):
        pass
    settled(session)
    found = environment(records, "r")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert (found["git"]["commit"], found["git"]["branch"], found["git"]["dirty"]) == (commit, "main", True)
    assert found["git"]["untracked"] == ["note.txt"] and found["git"]["diff"] == {"path": "git.diff", "complete": True}
    assert found["python"]["version"] == sys.version.split()[0] and found["python"]["prefix"] == sys.prefix
    assert found["machine"]["processors"] == os.cpu_count() and found["machine"]["memory_bytes"] > 1 << 28
    assert "pytest" in found["packages"]["imported"] and "jupyterlab" in found["packages"]["installed"]
    assert f"pytest=={pytest.__version__}" in found["packages"]["requirements"]
    assert found["variables"]["OMP_NUM_THREADS"] == "2" and found["missing"] == []
    uid = records.start("r").run_uid
    tags = {k: v for r in records.all() if isinstance(r, Tags) and r.run_uid == uid for k, v in r.values.items()}
    assert tags["mlflow.source.git.commit"] == commit and tags["mlflow.source.git.branch"] == "main"
    (diff,) = artifacts(records, "r", "git.diff")
    assert diff.kind == "code" and b"+a = 2" in records.blob(diff.digest)


def test_equal_environments_are_one_blob_and_git_is_read_for_each_run(session, records, repository):
    with track("one"):
        pass
    settled(session)
    with track("two"):
        pass
    settled(session)
    (repository / "a.py").write_text("a = 3\n")
    with track("three"):
        pass
    settled(session)
    one, two, three = (artifacts(records, run)[-1].digest for run in ("one", "two", "three"))
    assert one == two != three
    assert not environment(records, "two")["git"]["dirty"] and environment(records, "three")["git"]["dirty"]


def test_what_was_imported_when_the_run_ended_counts(session, records, repository, tmp_path, monkeypatch):
    # A distribution that this process cannot have imported before.
    site = tmp_path / "site"
    (site / "surroundings_probe").mkdir(parents=True)
    (site / "surroundings_probe" / "__init__.py").write_text("")
    info = site / "surroundings_probe-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: surroundings-probe\nVersion: 1.2.3\n")
    (info / "top_level.txt").write_text("surroundings_probe\n")
    monkeypatch.syspath_prepend(str(site))
    with track("r"):
        until(lambda: artifacts(records, "r"), "the environment at the beginning")
        before = json.loads(records.blob(artifacts(records, "r")[-1].digest))
        import surroundings_probe  # noqa: F401
    settled(session)
    after = environment(records, "r")
    assert before["packages"]["installed"]["surroundings-probe"] == "1.2.3"
    assert "surroundings-probe" not in before["packages"]["imported"]
    assert "surroundings-probe" in after["packages"]["imported"]


def test_a_nested_run_shares_the_environment_of_its_parent(session, records, repository):
    with track("parent"), track("child"):
        log(x=1)
    settled(session)
    assert artifacts(records, "parent") and not artifacts(records, "child")


def test_it_can_be_turned_off(session, records, repository, monkeypatch):
    monkeypatch.setenv("MLOPS_CAPTURE_ENVIRONMENT", "false")
    with track("r"):
        pass
    session.close()
    assert not artifacts(records, "r") and isinstance(records.all()[-2], RunEnd)


SHORT = """
from mlops_workbench import track
with track("short"):
    pass
"""

FORK = """
import os
from mlops_workbench import track, log
from mlops_workbench.capture import current_session
with track("forked") as run:
    pid = os.fork()
    if pid == 0:
        log(child=1)
        current_session().close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.process
def test_a_process_that_ends_at_once_writes_what_is_known_and_names_what_is_missing(records, workspace):
    script(SHORT, workspace)
    found = environment(records, "short")
    assert found["python"]["version"] == sys.version.split()[0]
    assert bool(found["machine"]) == ("machine" not in found["missing"])
    assert bool(found["packages"]) == ("packages" not in found["missing"])


@pytest.mark.process
def test_a_process_does_not_wait_at_its_end_for_git(records, workspace, tmp_path, monkeypatch):
    gate, programs = tmp_path / "gate", tmp_path / "bin"
    os.mkfifo(gate)
    programs.mkdir()
    (programs / "git").write_text(f'#!/bin/sh\nread word < "{gate}"\nexit 128\n')
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    try:
        script(SHORT, workspace)
        assert "git" in environment(records, "short")["missing"]
    finally:
        release(gate)


def release(gate):
    """Let a git that was begun go on; there may be none, when its process ended before it came to it."""
    with contextlib.suppress(OSError):
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.process
def test_a_forked_child_records_no_environment_and_no_resources(records, workspace):
    script(FORK, workspace)
    assert len(records.of(RunStart, "forked")) == 1
    sums = [r for r in records.all() if "system/cpu_seconds" in getattr(r, "values", ())]
    assert len(sums) == 1 and artifacts(records, "forked")


def script(code, workspace):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MLOPS_WORKSPACE": str(workspace.root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_variables_are_taken_from_a_list_and_secrets_among_them_are_masked():
    given = {
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "4",
        "SLURM_JOB_ID": "7",
        "LC_ALL": "C.UTF-8",
        "MLFLOW_TRACKING_URI": "https://me:letmein@host/mlflow",
        "MLFLOW_TRACKING_PASSWORD": "letmein",
        "MLOPS_TOKEN": "letmein",
        "AWS_SECRET_ACCESS_KEY": "letmein",
        "HOME": "/home/me",
        "MY_OWN": "x",
    }
    assert described_variables(given) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "LC_ALL": "C.UTF-8",
        "MLFLOW_TRACKING_PASSWORD": MASK,
        "MLFLOW_TRACKING_URI": f"https://me:{MASK}@host/mlflow",
        "MLOPS_TOKEN": MASK,
        "OMP_NUM_THREADS": "4",
        "SLURM_JOB_ID": "7",
    }


def test_modules_are_traced_to_their_distributions():
    import sklearn
    import yaml  # noqa: F401

    known = Distributions().read()
    assert known.versions["scikit-learn"] == sklearn.__version__
    found = describe_packages(known, imported_modules())
    assert {"scikit-learn", "pyyaml", "pytest"} <= set(found["imported"]) and "jupyterlab" not in found["imported"]


def test_what_is_installed_is_what_the_standard_library_reads(tmp_path, monkeypatch):
    for module in ("google.protobuf", "matplotlib.pyplot", "mlflow", "mpl_toolkits", "PIL"):
        import_module(module)
    develop, debian = tmp_path / "developed.egg-info", tmp_path / "aged-1.0.egg-info"
    develop.mkdir()
    (develop / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: Developed_Here\nVersion: 0.1+local\n")
    debian.write_text("Metadata-Version: 1.1\nName: Aged\nVersion: 1.0\n")
    (tmp_path / "numpy-0.0.1.dist-info").mkdir()
    (tmp_path / "numpy-0.0.1.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = {}
    for one in metadata.distributions():
        if one.metadata and one.metadata["Name"]:
            versions.setdefault(one.metadata["Name"].lower().replace("_", "-"), one.version)
    modules = metadata.packages_distributions()
    (tmp_path / "~roken-1.0.dist-info").mkdir()
    known = Distributions().read()
    assert known.versions == versions and known.versions["numpy"] == "0.0.1"
    assert {"developed-here", "aged"} <= set(versions)
    for module in imported_modules() & set(modules) - {"numpy"}:
        assert known.modules[module] == tuple(sorted({n.lower().replace("_", "-") for n in modules[module]})), module


POOLS = """
import sys
from mlops_workbench.capture.environment.machine import ThreadPools
pools = ThreadPools()
assert pools.describe() == []
import numpy, threadpoolctl
assert {one["user_api"] for one in pools.describe()} == {"blas"}
with threadpoolctl.threadpool_limits(1):
    assert [one["num_threads"] for one in pools.describe()] == [1]
class Lazy(type(sys)):
    def __getattribute__(self, name):
        raise AssertionError(name)
sys.modules["lazy"] = Lazy("lazy")
import sklearn.utils._openmp_helpers
assert {one["user_api"] for one in pools.describe()} == {"blas", "openmp"}
"""


@pytest.mark.process
def test_thread_pools_are_those_of_the_libraries_that_are_loaded():
    subprocess.run([sys.executable, "-c", POOLS], check=True)


def test_gpus_are_read_from_the_listing_of_the_driver():
    assert parse_gpus("NVIDIA A100-SXM4-40GB, 40960, 535.54\nTesla T4, [N/A], 535.54\n\n") == [
        {"name": "NVIDIA A100-SXM4-40GB", "memory_bytes": 40960 << 20, "driver": "535.54"},
        {"name": "Tesla T4", "memory_bytes": 0, "driver": "535.54"},
    ]
