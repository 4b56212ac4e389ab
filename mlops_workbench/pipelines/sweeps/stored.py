"""What a sweep keeps in its folder, besides what every run has."""

from __future__ import annotations

import msgspec

from mlops_workbench.core.sweeps import SweepRequest
from mlops_workbench.core.wire.json_numbers import JsonNumber

#: In the folder of the sweep.
FILE, SOURCES, TRIALS = "sweep.json", "sources", "trials"


class StoredSweep(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep as it was checked and requested; later edits of notebooks and specs have no effect on it.

    Attributes
    ----------
    request : SweepRequest
        The request, with method, direction and seed; its notebook is an absolute path.
    spec : str
        Of a pipeline: absolute path of the spec.
    planned : int
        Number of trials if nothing stops it before; 0 if unknown.
    sources : dict
        Absolute paths of notebooks and spec to their copies, relative to the folder of the sweep.
    champion : dict or None
        Metrics of the present champion of the pipeline's model, for gates; None without one.
    """

    request: SweepRequest
    spec: str = ""
    planned: int = 0
    sources: dict[str, str] = {}
    champion: dict[str, JsonNumber | None] | None = None
