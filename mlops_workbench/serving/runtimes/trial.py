"""A trial of a model in a process of its own, before a process that answers requests loads it.

XGBoost, LightGBM and CatBoost read their files with compiled code. A damaged or forged file can make XGBoost read
foreign memory, and LightGBM end the process or never return; no exception reports it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import InvalidModel

#: Exit status of a trial in which the model was refused as an exception, which the next load will raise again.
REFUSED = 3
_SECONDS = 120.0


class Trial(msgspec.Struct, frozen=True):
    """What a trial is about: a folder, its digest, the settings, and the path on which modules are searched."""

    folder: str
    digest: str
    settings: ServingSettings
    modules: list[str]


def try_model(folder: Path, digest: str, settings: ServingSettings, seconds: float = _SECONDS) -> None:
    """Load a model and ask it about its golden set in another process.

    Parameters
    ----------
    folder : Path
        A verified model folder.
    digest : str
        Its digest; the trial must be of the same files.
    settings : ServingSettings
        Settings of the endpoint.
    seconds : float
        Longest time.

    Raises
    ------
    InvalidModel
        The model ended the process, or took too long.
    """
    trial = Trial(str(folder), digest, msgspec.structs.replace(settings, token=""), list(sys.path))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mlops_workbench.serving.runtimes.trial_process"],
            input=msgspec.json.encode(trial),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unusable(folder, f"did not load within {seconds:.0f} s") from error
    if done.returncode < 0:
        raise _unusable(folder, f"ended the process that loaded it ({signal.Signals(-done.returncode).name})")
    if done.returncode not in (0, REFUSED):
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise _unusable(folder, f"ended the process that loaded it: {lines[-1][:300]}")


def _unusable(folder: Path, what: str) -> InvalidModel:
    return InvalidModel(
        f"the model {what}", where=str(folder), hint="the file is damaged or forged; register the model again"
    )
