"""Which file system a path is on: those over a network report no changes that other machines make."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "ceph", "virtiofs", "glusterfs", "afs", "beegfs")
_OCTAL = re.compile(r"\\([0-7]{3})")


def file_system(path: str, mounts: str) -> str:
    """Type of the file system of a path.

    Parameters
    ----------
    path : str
        Absolute, without links.
    mounts : str
        Content of ``/proc/self/mountinfo``.

    Returns
    -------
    str
        Such as ``ext4``; empty if no mount holds the path.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        # A later mount hides an earlier one at the same place.
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind


def is_remote(path: str) -> bool:
    """Whether a path is on a file system where changes of other machines go unnoticed; False where none can tell."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return False
    kind = file_system(os.path.realpath(path), mounts)
    return kind in _NETWORK or kind.startswith("fuse.")
