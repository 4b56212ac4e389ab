"""Effects of a cell outside of its namespace, found in its source: files, the shell, the environment."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator

#: Effects of functions, by their dotted name in the source.
_CALLS: dict[str, str] = {
    "os.chdir": "@cwd", "chdir": "@cwd",
    "os.putenv": "@environ", "os.unsetenv": "@environ", "os.environ.update": "@environ",
    "os.environ.setdefault": "@environ", "os.environ.pop": "@environ", "os.environ.clear": "@environ",
    "load_dotenv": "@environ", "dotenv.load_dotenv": "@environ",
    "os.system": "@shell", "os.popen": "@shell", "subprocess.run": "@shell", "subprocess.call": "@shell",
    "subprocess.check_call": "@shell", "subprocess.check_output": "@shell", "subprocess.Popen": "@shell",
    "sys.path.append": "@path", "sys.path.insert": "@path", "sys.path.extend": "@path", "sys.path.remove": "@path",
    "warnings.filterwarnings": "@warnings", "warnings.simplefilter": "@warnings",
    "importlib.reload": "@modules", "reload": "@modules",
    "jax.config.update": "@settings", "locale.setlocale": "@settings",
}  # fmt: skip

_MAGICS: dict[str, str] = {
    "cd": "@cwd", "pushd": "@cwd", "popd": "@cwd",
    "env": "@environ", "set_env": "@environ", "dotenv": "@environ",
    "pip": "@packages", "conda": "@packages", "mamba": "@packages", "micromamba": "@packages", "uv": "@packages",
    "sx": "@shell", "system": "@shell", "sc": "@shell", "bash": "@shell", "sh": "@shell", "script": "@shell",
    "!": "@shell", "cmd": "@shell", "perl": "@shell", "ruby": "@shell", "python": "@shell", "python2": "@shell",
    "python3": "@shell", "pypy": "@shell",
    "autoreload": "@modules", "aimport": "@modules",
}  # fmt: skip

#: Magics whose argument is Python that runs in the notebook's namespace.
_CODE_LINES = ("time", "timeit", "prun", "memit", "lprun", "debug")
_CODE_CELLS = ("time", "capture", "prun", "timeit", "memit", "debug", "lprun")

_SEEDS = (
    "seed", "manual_seed", "manual_seed_all", "set_seed", "set_random_seed", "seed_everything", "seed_all",
    "set_state", "set_rng_state", "setstate", "enable_op_determinism", "use_deterministic_algorithms",
)  # fmt: skip

#: Settings of libraries that change what they compute.
_SETTINGS = (
    "set_config", "seterr", "set_option", "set_options", "set_default_dtype", "set_default_device",
    "set_default_tensor_type", "set_num_threads", "set_float32_matmul_precision", "set_floatx", "set_global_policy",
    "set_image_data_format", "set_start_method", "setrecursionlimit", "run_functions_eagerly",
)  # fmt: skip
_SHOWN_SETTINGS = ("display.", "styler.", "plotting.", "io.")
#: Commands of ``%mlops`` that set something when they have an argument.
_SETTING_COMMANDS = ("experiment", "autotrack", "autolog", "budget")

_INSTALLS = re.compile(
    r"\b(pip3?|conda|mamba|uv|apt|apt-get|poetry)\b.*\b(install|uninstall|remove|add|sync|upgrade)\b"
)
#: Names in braces or after a dollar sign, which IPython expands in a command.
_EXPANDED = re.compile(r"\{([A-Za-z_]\w*)[^{}]*\}|\$([A-Za-z_]\w*)")

_READERS = ("open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "imread", "load_npz", "loadmat", "fopen")
_PATH_READERS = ("read_text", "read_bytes", "iterdir", "glob", "rglob")
_PATH_WRITERS = ("write_text", "write_bytes", "mkdir", "touch", "unlink", "rename", "replace")
_WRITERS = (
    "to_csv", "to_parquet", "to_pickle", "to_json", "to_excel", "to_feather", "to_hdf", "to_sql", "to_html", "to_stata",
    "to_orc", "to_xml", "to_markdown", "to_latex", "to_file", "to_zarr", "to_netcdf", "write_csv", "write_parquet",
    "write_ipc", "write_json", "write_ndjson", "write_html", "write_image", "savefig", "savetxt", "savez",
    "savez_compressed", "save", "save_npz", "savemat", "imsave", "imwrite", "tofile", "save_model", "urlretrieve",
)  # fmt: skip
#: Functions that write to the path in their second argument.
_WRITERS_SECOND = ("dump", "save", "savemat", "urlretrieve", "copy", "copyfile", "copy2", "move")


_PATH_ARGUMENTS = ("file", "path", "filepath", "filename", "fname", "filepath_or_buffer", "path_or_buf", "fp")


def dotted(node: ast.expr) -> str:
    """Return the text of a dotted name such as ``a.b.c``; empty for other expressions."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def call_effects(call: ast.Call, value_of: Callable[[str], str]) -> Iterator[str]:
    """Yield the effects of a call.

    Parameters
    ----------
    call : ast.Call
        The call.
    value_of : callable
        Returns the known text value of a name, for paths in variables; empty when unknown.

    Yields
    ------
    str
        ``@shell``, ``@cwd``, ``@environ``, ``@packages``, ``@random``, ``@path`` (of imports), ``@modules``,
        ``@warnings``, ``@settings`` (of libraries); ``@file:<path>`` for a file that is read or written, and
        ``@write:<path>`` for a written one.
    """
    name = dotted(call.func)
    if effect := _CALLS.get(name):
        yield effect
    last = name.rpartition(".")[2] if name else call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if last in _SEEDS:
        yield "@random"
    if last in _SETTINGS and not _is_shown(call):
        yield "@settings"
    if last in _PATH_READERS + _PATH_WRITERS and isinstance(call.func, ast.Attribute):
        yield from _touched(_path(call.func.value, value_of), last in _PATH_WRITERS)
        return
    first, second = (_argument(call, index, value_of) for index in (0, 1))
    if last in _WRITERS and first:
        yield from _touched(first, True)
    elif last in _WRITERS_SECOND and second:
        yield from _touched(second, True)
        if last in ("copy", "copyfile", "copy2", "move"):
            yield from _touched(first, False)
    elif last in _READERS or last.startswith(("read_", "scan_")):
        if last == "open" and not first and isinstance(call.func, ast.Attribute):
            yield from _touched(_path(call.func.value, value_of), _opens_to_write(call, 0))
        else:
            yield from _touched(first, last == "open" and _opens_to_write(call, 1))


def command_effects(command: str) -> Iterator[str]:
    """Yield the effects of a shell command."""
    yield "@shell"
    if _INSTALLS.search(command):
        yield "@packages"


def expanded_names(text: str) -> set[str]:
    """Return the names whose values IPython expands in a command or a magic's line."""
    return {one or other for one, other in _EXPANDED.findall(text)}


def magic_effects(name: str, line: str) -> Iterator[str]:
    """Yield the effects of a magic."""
    if name == "env" and "=" not in line and len(line.split()) < 2:
        return
    if effect := _MAGICS.get(name):
        yield effect
    words = _words(line)
    if name == "mlops" and len(words) > 1 and words[0] in _SETTING_COMMANDS:
        yield f"@mlops:{words[0]}"
    if name == "run" and (files := [word for word in words if not word.startswith("-")]):
        yield f"@file:{files[0]}"
    if name in ("writefile", "file") and words:
        yield from _touched(words[-1], True)


def magic_code(name: str, line: str, body: str | None) -> str | None:
    """Return the Python code that a magic runs in the notebook's namespace, or None."""
    if body is not None:
        return body if name in _CODE_CELLS else None
    if name not in _CODE_LINES:
        return None
    # Skip leading options such as -n 10, -r3.
    return re.sub(r"^(\s*-[A-Za-z]\s*\d*\s)*", "", line + " ").strip()


def _is_shown(call: ast.Call) -> bool:
    """Whether a setting only changes what is displayed: ``pd.set_option("display.max_rows", 20)``."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and str(first.value).startswith(_SHOWN_SETTINGS)


def runs_in_own_scope(name: str) -> bool:
    """Whether the code of a magic binds names only in its own scope."""
    return name in ("timeit", "memit")


def _touched(path: str, writes: bool) -> Iterator[str]:
    if path:
        yield f"@file:{path}"
        if writes:
            yield f"@write:{path}"


def _argument(call: ast.Call, index: int, value_of: Callable[[str], str]) -> str:
    if len(call.args) > index:
        return _path(call.args[index], value_of)
    if index == 0:
        for keyword in call.keywords:
            if keyword.arg in _PATH_ARGUMENTS:
                return _path(keyword.value, value_of)
    return ""


def _path(node: ast.expr, value_of: Callable[[str], str]) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) and "\n" not in node.value else ""
    if isinstance(node, ast.Name):
        return value_of(node.id)
    if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in ("Path", "PurePath") and node.args:
        return _path(node.args[0], value_of)
    if isinstance(node, ast.Call) and dotted(node.func) == "os.path.join":
        parts = [_path(part, value_of) for part in node.args]
        return "/".join(parts) if all(parts) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _path(node.left, value_of), _path(node.right, value_of)
        return f"{left}/{right}" if left and right else ""
    return ""


def _opens_to_write(call: ast.Call, index: int) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    mode = given[0] if given else call.args[index] if len(call.args) > index else None
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and bool(set(mode.value) & set("wax+"))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
