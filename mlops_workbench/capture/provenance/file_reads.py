"""Observes which files a kernel reads: by audit events, by open descriptors and by memory maps."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.capture.environment.distributions import Distributions, imported_modules
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.reads import ASKS_WORKBENCH, READS_VARIABLE, FileRead, FolderRead, ProgramReads
from mlops_workbench.core.workspace import STATE

#: Libraries that open files in native code, which raises no audit event.
_BLIND = {
    "duckdb": "duckdb", "h5py": "h5py", "tables": "PyTables", "netCDF4": "netCDF4", "polars": "polars",
    "datasets": "datasets", "dask.dataframe": "dask", "deltalake": "deltalake", "pyiceberg": "pyiceberg",
    "rasterio": "rasterio", "cv2": "OpenCV", "lance": "lance", "zarr": "zarr", "vaex": "vaex",
    "tensorflow": "TensorFlow", "lxml.etree": "lxml", "soundfile": "soundfile", "onnxruntime": "onnxruntime",
    "faiss": "faiss", "fasttext": "fastText", "sentencepiece": "sentencepiece", "tokenizers": "tokenizers",
    "safetensors": "safetensors", "pyogrio": "pyogrio", "fiona": "fiona", "osgeo": "GDAL", "pyreadstat": "pyreadstat",
    "psycopg2": "psycopg2", "psycopg": "psycopg", "MySQLdb": "MySQLdb", "pyodbc": "pyodbc", "oracledb": "oracledb",
}  # fmt: skip
#: Modules of pyarrow that do, too. pandas writes Parquet with them, so they count only if code reads with them: its
#: readers whose files are seen are left out here.
_ARROW = ("pyarrow.parquet", "pyarrow.dataset", "pyarrow.csv", "pyarrow.feather", "pyarrow.orc")
_SEEN_READERS = "csv|excel|json|pickle|sql|sql_query|sql_table|html|xml|fwf|stata|sas|clipboard|text|bytes"
_ARROW_READS = re.compile(rf"\bread_(?!(?:{_SEEN_READERS})\b)|pyarrow|Parquet(?:File|Dataset)")
_PROCESSES = ("os.fork", "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.spawn", "pty.spawn")
#: Share of the time that looking at descriptors and maps may take.
_SHARE = 0.05
_SYSTEM = (
    "/proc/", "/sys/", "/dev/", "/etc/", "/run/", "/usr/lib/", "/lib/", "/lib64/", "/usr/share/zoneinfo/",
    "/usr/share/fonts/", "/usr/share/fontconfig/", "/usr/share/mime/", "/usr/share/locale/", "/memfd:",
)  # fmt: skip
_WORKBENCH = str(Path(__file__).parents[2]) + os.sep
#: Code that looks for installed distributions.
_METADATA = (os.path.join(os.sep, "importlib", "metadata", ""), os.path.join(os.sep, "pkg_resources", ""))  # noqa: PTH118
_WRITE_FLAGS = os.O_WRONLY | os.O_TRUNC | os.O_EXCL


class FileReads:
    """The files that this process reads from now on.

    Parameters
    ----------
    ignored : iterable of str
        Folders whose files are not inputs: the state folder of the workspace, but for what is declared.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self._files: dict[str, FileRead] = {}
        self._folders: dict[str, FolderRead] = {}
        self._written: set[str] = set()
        self._unseen: dict[str, None] = {}
        self._begun_ns = time.time_ns()
        self._by_arrow = True
        self._excluded = (*_SYSTEM, *_own_folders(ignored))
        self._installed = _installed_folders()
        self._own = threading.local()  # busy: opens by the observer itself, in this thread
        self._due = 0.0
        self._handlers: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._opened, "os.listdir": self._listed, "os.scandir": self._listed,
            "sqlite3.connect": self._database, "socket.connect": self._connected,
            **dict.fromkeys(_PROCESSES, self._started),
        }  # fmt: skip

    def install(self) -> None:
        """Observe from now on; it cannot be taken back."""
        handlers, own = self._handlers, self._own

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            handler = handlers.get(event)
            if handler is None or getattr(own, "busy", False) or _by_import():
                return
            own.busy = True
            try:
                belongs_to = _caller()
                if belongs_to == "workbench":
                    self._unseen[ASKS_WORKBENCH] = None
                elif not belongs_to:
                    handler(arguments)
            except Exception:  # noqa: BLE001 - an error here would be raised into the user's call
                self._unseen["a file could not be observed"] = None
            finally:
                own.busy = False

        sys.addaudithook(audit)

    def follow_code(self) -> None:
        """From now on :meth:`code` is told the program's code."""
        self._by_arrow = False

    def code(self, text: str) -> None:
        """Note what a part of the program's code, which runs or has run, may read."""
        self._by_arrow = self._by_arrow or _ARROW_READS.search(text) is not None

    def after_cell(self) -> None:
        """Look for files that native code holds open, unless that was done a moment ago."""
        begin = time.monotonic()
        if begin < self._due:
            return
        self._look()
        self._due = begin + (time.monotonic() - begin) / _SHARE

    def report(self) -> ProgramReads:
        """Everything that was read so far."""
        self._look()
        self._own.busy = True
        try:
            modules = self._modules()
            for path in {*modules, *self._files}:
                if path.endswith(".py") and not self._by_arrow:
                    with contextlib.suppress(OSError):
                        self.code(Path(path).read_text(errors="replace"))
            if self._by_arrow and any(name in sys.modules for name in _ARROW):
                self._unseen["pyarrow opens files itself"] = None
            for name, library in _BLIND.items():
                if name in sys.modules:
                    self._unseen[f"{library} opens files itself"] = None
            installed = Distributions().read()
            used = {name for module in imported_modules() for name in installed.modules.get(module, ())}
            return ProgramReads(
                sorted({**self._files, **modules}.values(), key=lambda file: file.path),
                sorted(self._folders.values(), key=lambda folder: folder.path),
                {name: installed.versions[name] for name in sorted(used)},
                list(self._unseen),
                sorted(path for path in self._written if self._matters(path) and os.path.isfile(path)),  # noqa: PTH113
                sys.prefix,
            )
        finally:
            self._own.busy = False

    def _opened(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        if isinstance(path, int):
            return
        writes = isinstance(flags, int) and bool(flags & _WRITE_FLAGS)
        if writes or (isinstance(mode, str) and mode[:1] in "wxa" and mode):
            self._written.add(_absolute(path))
        else:
            self._read(_absolute(path), "open")

    def _listed(self, arguments: tuple[Any, ...]) -> None:
        path = arguments[0] if arguments else None
        if isinstance(path, int):
            return
        folder = _absolute("." if path is None else path)
        if folder not in self._folders and self._matters(folder + "/"):
            try:
                self._folders[folder] = FolderRead(folder, sorted(os.listdir(folder)))  # noqa: PTH208 - a text is at hand
            except OSError:
                self._read(folder, "open")

    def _database(self, arguments: tuple[Any, ...]) -> None:
        path = arguments[0]
        if path and path not in (":memory:", b":memory:") and not str(path).startswith("file:"):
            self._read(_absolute(path), "open")
        elif str(path).startswith("file:"):
            self._unseen["SQLite opens a database by a URI"] = None

    def _connected(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1] if len(arguments) > 1 else None
        # A path is a socket of this machine, such as the one of a language server or of a database.
        where = address[0] if isinstance(address, tuple) and address else address
        self._unseen[f"it reads from the network or another process: {where!s}"] = None

    def _started(self, arguments: tuple[Any, ...]) -> None:
        program = arguments[0] if arguments else ""
        name = os.path.basename(os.fsdecode(program)) if isinstance(program, (str, bytes, os.PathLike)) else ""  # noqa: PTH119
        self._unseen[f"it starts another program: {name or '?'}"] = None

    def _look(self) -> None:
        self._own.busy = True
        try:
            for path in _descriptors():
                self._read(path, "descriptor")
            for path in _maps():
                self._read(path, "map")
        finally:
            self._own.busy = False

    def _read(self, path: str, how: Any) -> None:
        if path in self._files or path in self._written or not self._matters(path):
            return
        try:
            status = os.stat(path)  # noqa: PTH116 - for every file that is opened
        except OSError:
            self._files[path] = FileRead(path, 0, 0, "missing")
            return
        if status.st_mode & 0o170000 == 0o100000:
            self._files[path] = FileRead(path, status.st_size, status.st_mtime_ns, how)

    def _matters(self, path: str) -> bool:
        return not path.startswith(self._excluded) and not path.startswith(self._installed)

    def _modules(self) -> dict[str, FileRead]:
        """Files of the imported modules that belong to no distribution."""
        found = {}
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and self._matters(path := _absolute(path)):
                try:
                    status = os.stat(path)  # noqa: PTH116
                except OSError:
                    continue
                # Of a file that was changed since, it is not known which content was imported.
                changed = max(status.st_mtime_ns, status.st_ctime_ns) > self._begun_ns
                found[path] = FileRead(path, -1 if changed else status.st_size, status.st_mtime_ns, "module")
        return found


_of_stage: FileReads | None = None


def observe_stage(shell: Any) -> None:
    """Observe what the kernel of a stage reads; its process asks for it by naming a file for `write_report`."""
    global _of_stage
    if _of_stage is not None or not os.environ.get(READS_VARIABLE):
        return
    _of_stage = FileReads([os.path.join(os.environ.get("MLOPS_WORKSPACE", ""), STATE)])  # noqa: PTH118
    _of_stage.follow_code()
    _of_stage.install()
    shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any = None) -> None:
    if _of_stage is not None:
        with contextlib.suppress(Exception):
            _of_stage.code(result.info.raw_cell)
            _of_stage.after_cell()


def write_report() -> None:
    """Write what the kernel of a stage has read; the process of the stage calls it after the last cell."""
    if _of_stage is not None:
        write_atomic(Path(os.environ[READS_VARIABLE]), msgspec.json.encode(_of_stage.report()))


def _by_import() -> bool:
    """Whether Python's import system does it: imported modules are found by other means."""
    return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")


def _caller() -> str:
    """For whom the code that runs now reads: ``observation`` of the program, ``workbench``; empty for the program."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_WORKBENCH):
            package, _, rest = name[len(_WORKBENCH) :].partition(os.sep)
            if package in ("capture", "magics"):
                return "" if rest.startswith("exchange") else "observation"  # `load` reads for the program
            if package == "client":
                return "workbench"
        elif _METADATA[0] in name or _METADATA[1] in name:
            return "observation"  # for the versions of distributions
        elif "ipykernel_" in name:
            return ""  # the code of a cell
        frame = frame.f_back
    return ""


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))


def _descriptors() -> Iterable[str]:
    try:
        numbers = os.listdir("/proc/self/fd")  # noqa: PTH208
    except OSError:
        return
    for number in numbers:
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue
        # A regular file that is open for writing only is an output.
        if target.startswith("/") and not target.endswith(" (deleted)") and _readable(number):
            yield target


def _readable(number: str) -> bool:
    try:
        text = Path(f"/proc/self/fdinfo/{number}").read_text()
    except OSError:
        return True
    for line in text.splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_WRONLY
    return True


def _maps() -> set[str]:
    try:
        lines = Path("/proc/self/maps").read_bytes().splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        position = line.find(b"/")
        if position > 0:
            path = os.fsdecode(line[position:])
            if ".so" not in path and not path.endswith(" (deleted)"):
                found.add(path)
    return found


def _own_folders(ignored: Iterable[str]) -> tuple[str, ...]:
    """Folders of IPython, of Jupyter, of caches that hold no data, and the ignored ones, with a slash at the end."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises without a home folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    folders = [home / ".ipython", home / ".jupyter", home / ".local/share/jupyter", home / ".config/matplotlib"]
    folders += [cache / name for name in ("matplotlib", "fontconfig", "mlops-workbench", "pip")]
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    folders += [Path(os.environ[name]) for name in names if os.environ.get(name)]
    connection = sys.argv[sys.argv.index("-f") + 1] if "-f" in sys.argv[:-1] else ""
    return (*(os.path.abspath(folder) + os.sep for folder in (*folders, *ignored)), *filter(None, [connection]))


def _installed_folders() -> tuple[str, ...]:
    """Folders of Python and of distributions, whose versions stand for their files."""
    paths = {*sysconfig.get_paths().values(), sys.base_prefix, sys.base_exec_prefix, sys.prefix}
    paths |= {entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}
    own = str(Path(__file__).parents[2])
    return tuple(sorted({os.path.abspath(path) + os.sep for path in (*paths, own) if path and path != os.sep}))
