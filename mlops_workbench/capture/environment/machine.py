"""Description of the machine and the interpreter."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from mlops_workbench.capture.resources.gpus import query_nvidia

_GPU_FIELDS = ("name", "memory.total", "driver_version")
_GPU_SECONDS = 10.0


def describe_python() -> dict[str, Any]:
    """Return version and location of the interpreter."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "executable": sys.executable,
        "prefix": sys.prefix,
    }


def describe_machine() -> dict[str, Any]:
    """Return platform, processors, memory in bytes, and GPUs."""
    return {
        "platform": platform.platform(),
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "hostname": platform.node(),
        "processor": _processor(),
        "processors": os.cpu_count() or 0,
        "usable_processors": _usable(),
        "memory_bytes": _memory(),
        "gpus": _gpus(),
    }


class ThreadPools:
    """Native thread pools of the loaded libraries; requires that threadpoolctl is loaded."""

    def __init__(self) -> None:
        self._controller: Any = None
        self._modules = 0
        self._extensions = 0

    def describe(self) -> list[dict[str, Any]]:
        """Return the pools; libraries are searched again after extension modules were imported."""
        library = sys.modules.get("threadpoolctl")
        if library is None:
            return []
        modules = len(sys.modules)
        if modules != self._modules:
            self._modules, extensions = modules, _extension_modules()
            # The search for libraries blocks the user's code for milliseconds. Pure Python modules, which packages
            # often import late, load no libraries; extension modules do.
            if self._controller is None or extensions != self._extensions:
                self._extensions, self._controller = extensions, library.ThreadpoolController()
        kept = ("user_api", "internal_api", "version", "num_threads", "threading_layer", "architecture")
        return [{name: pool[name] for name in kept if name in pool} for pool in self._controller.info()]


def parse_gpus(listing: str) -> list[dict[str, Any]]:
    """Parse a CSV listing of name, memory in MiB and driver."""
    found = []
    for line in listing.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == len(_GPU_FIELDS):
            memory = int(parts[1]) << 20 if parts[1].isdigit() else 0
            found.append({"name": parts[0], "memory_bytes": memory, "driver": parts[2]})
    return found


def _extension_modules() -> int:
    """Count the imported extension modules, without triggering lazy modules."""
    loaders = (
        object.__getattribute__(module, "__dict__").get("__loader__")
        # A copy, since another thread may import.
        for module in list(sys.modules.values())
        if issubclass(type(module), ModuleType)
    )
    return sum(type(loader) is ExtensionFileLoader for loader in loaders)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "Hardware", "cpu model"):
                return value.strip()
    return platform.processor()


def _usable() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _gpus() -> list[dict[str, Any]]:
    program = shutil.which("nvidia-smi")
    return parse_gpus(query_nvidia(program, ",".join(_GPU_FIELDS), _GPU_SECONDS)) if program is not None else []
