"""The wheel: installed into an empty environment on a machine without Node, it works in Jupyter."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_workbench import __version__

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".ci" / "requirements.lock"

pytestmark = [pytest.mark.process, pytest.mark.packaging, pytest.mark.timeout(1200)]


def run(command: list[str | Path], **options: object) -> str:
    """Output of a command, both streams; a failure shows it."""
    result = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options,
    )  # type: ignore[call-overload]  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return str(result.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a release would build it; the lab extension is built already or is built for it."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], env=environment)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables of a fresh virtual environment that holds the wheel and what it needs, without Node."""
    home = tmp_path_factory.mktemp("empty")
    venv = home / "venv"
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--quiet", "--python", sys.executable, venv])
    python = venv / "bin" / "python"
    # The lock says which versions; only what the wheel itself needs is installed.
    constraints = home / "constraints.txt"
    constraints.write_text(
        "".join(line.split(" ", 1)[0] + _marker(line) + "\n" for line in LOCK.read_text().splitlines() if "==" in line)
    )
    run([*uv, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, wheel])
    yield {
        "PATH": f"{venv / 'bin'}{os.pathsep}{_without_node(home)}",
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "LANG": "C.UTF-8",
    }


def _marker(line: str) -> str:
    """Environment marker of a line of the lock, with its semicolon."""
    text = line.rstrip("\\ ").split(";", 1)
    return f" ;{text[1]}" if len(text) == 2 else ""


def _without_node(home: Path) -> Path:
    """A folder for the PATH with a few common tools and no Node."""
    folder = home / "bin"
    folder.mkdir()
    for name in ("sh", "env", "uname"):
        for place in ("/bin", "/usr/bin"):
            if (Path(place) / name).exists():
                (folder / name).symlink_to(Path(place) / name)
                break
    return folder


def test_the_wheel_holds_the_built_extension_and_no_sources_of_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shared = f"mlops_workbench-{__version__}.data/data/"
    assert f"{shared}share/jupyter/labextensions/mlops-workbench/package.json" in names
    assert f"{shared}share/jupyter/labextensions/mlops-workbench/install.json" in names
    assert f"{shared}etc/jupyter/jupyter_server_config.d/mlops_workbench.json" in names
    assert any(
        name.startswith(f"{shared}share/jupyter/labextensions/mlops-workbench/static/remoteEntry.") for name in names
    )
    assert "mlops_workbench/server/events/invalidation.yaml" in names
    assert "mlops_workbench/py.typed" in names
    assert not [
        name
        for name in names
        if name.startswith(("labextension/", "tests/", "notebooks/", "mlops_workbench/labextension"))
    ]
    assert not [name for name in names if name.endswith((".ts", ".tsx", ".ipynb", ".pyc", "README.md"))]
    assert f"mlops_workbench-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_version_is_one(wheel: Path) -> None:
    assert wheel.name.startswith(f"mlops_workbench-{__version__}-")


def test_node_is_not_there(empty: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run(["node", "--version"], env=empty, check=False)


def test_jupyterlab_has_the_extension_without_node(empty: dict[str, str]) -> None:
    listed = run(["jupyter", "labextension", "list"], env=empty)
    (line,) = [line for line in listed.splitlines() if "mlops-workbench" in line]
    plain = line.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert f"mlops-workbench v{__version__} enabled OK (python, mlops-workbench)" in plain


def test_jupyter_server_has_the_extension(empty: dict[str, str]) -> None:
    listed = run(["jupyter", "server", "extension", "list"], env=empty)
    lines = [line.replace("\x1b[32m", "").replace("\x1b[0m", "") for line in listed.splitlines()]
    assert any("mlops_workbench" in line and "enabled" in line for line in lines), listed
    assert any(f"mlops_workbench {__version__} OK" in line for line in lines), listed


def test_the_command_and_the_package_are_there(empty: dict[str, str]) -> None:
    assert "register" in run(["mlops", "--help"], env=empty)
    printed = run(["python", "-c", "import mlops_workbench; print(mlops_workbench.__version__)"], env=empty)
    assert printed.strip() == __version__
