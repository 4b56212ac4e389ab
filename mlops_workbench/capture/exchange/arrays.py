"""Arrays of NumPy as ``.npy``, and dicts of arrays as ``.npz``; never with pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from mlops_workbench.core.errors import InvalidInput

_PLAIN = ("ndarray", "memmap")


def write_arrays(value: Any, path: Path, ending: str) -> None:
    """Write an array, or a dict of arrays.

    Raises
    ------
    InvalidInput
        An array holds objects, or has a class that the format does not keep.
    """
    if isinstance(value, dict) == (ending == ".npy"):
        what, right = ("a dict of arrays", ".npz") if isinstance(value, dict) else ("one array", ".npy")
        raise InvalidInput(f"{what} is saved as '{right}'", hint=f"end the path in {right}")
    from numpy.lib import format as npy

    if not isinstance(value, dict):
        _check("the array", value)
        with open(path, "wb") as file:
            npy.write_array(file, value, allow_pickle=False)
        return
    # Not numpy.savez, whose own arguments collide with names.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in value.items():
            if not isinstance(name, str) or "\x00" in name:
                raise InvalidInput(f"{name!r} cannot be the name of an array", hint="use text as keys of the dict")
            _check(f"the array '{name}'", array)
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)


def read_arrays(file: BinaryIO, ending: str) -> Any:
    """Return the array or the dict of arrays in a file.

    Raises
    ------
    InvalidInput
        The file holds no arrays, or objects.
    """
    import numpy

    try:
        if ending != ".npz":
            return numpy.load(file, allow_pickle=False)
        with zipfile.ZipFile(file) as archive:
            return {
                entry.removesuffix(".npy"): numpy.lib.format.read_array(archive.open(entry), allow_pickle=False)
                for entry in archive.namelist()
            }
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"the file holds no array that can be read: {error}") from error


def _check(what: str, array: Any) -> None:
    if array.dtype.hasobject or array.dtype.kind == "T":
        raise InvalidInput(
            f"{what} holds {'objects' if array.dtype.hasobject else 'texts of any length'} ({array.dtype}), "
            "which would need pickle",
            hint="convert it to numbers, dates or texts of a fixed length, or save it as a table or as JSON",
        )
    if type(array).__name__ not in _PLAIN:
        raise InvalidInput(
            f"{what} is a {type(array).__name__}, of which only the values would be kept",
            hint="save numpy.asarray of it; of a masked array save data and mask as a dict",
        )
    if array.dtype.metadata:
        raise InvalidInput(f"{what} has metadata in its dtype, which the format does not keep")
