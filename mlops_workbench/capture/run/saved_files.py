"""Files of a model that its own library wrote."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SavedFiles:
    """Files of a model that its own library wrote.

    Attributes
    ----------
    flavor, format : str
        Flavor of MLflow, and file format.
    files : dict
        Path inside the model folder to content.
    libraries : set of str
        Modules needed to load it.
    version : str
        Version of the library.
    """

    flavor: str
    format: str
    files: dict[str, bytes] = field(repr=False)
    libraries: set[str]
    version: str
