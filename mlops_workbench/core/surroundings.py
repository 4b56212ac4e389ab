"""What a process inherits besides its environment, folder and streams."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
from pathlib import Path

from mlops_workbench.core.version import __version__

#: Signals that Python ignores from its start.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def surroundings() -> tuple[int, list[tuple[int, int, int]], list[int], list[int]]:
    """Return file mode mask, resource limits, processors and ignored signals of this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    numbers = {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
    limits = [(number, *resource.getrlimit(number)) for number in sorted(numbers)]
    # A process that is started inherits them, but for those that `subprocess` resets.
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
    inherited = sorted(int(number) for number in ignored if number not in IGNORED_BY_PYTHON)
    return umask, limits, sorted(os.sched_getaffinity(0)), inherited


def fingerprint() -> str:
    """Text that is the same for processes with the same file mode mask, limits, processors, priority and libraries.

    Ignored signals do not count: a process that serves has handlers of its own, and its children get the default ones.
    """
    try:
        group = Path("/proc/self/cgroup").read_text()
    except OSError:
        group = ""
    # Each terminal of a desktop has a group of its own, without limits of its own.
    group = "user.slice" if "/user.slice/" in group else group
    umask, limits, processors, _ = surroundings()
    known = (umask, limits, processors, os.nice(0), group, sys.prefix, __version__)
    return hashlib.sha256(repr(known).encode()).hexdigest()
