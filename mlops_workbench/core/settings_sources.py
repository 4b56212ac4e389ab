"""Where settings come from: ``workbench.toml``, environment variables and arguments.

Precedence, low to high: the default in :mod:`mlops_workbench.core.settings`, ``workbench.toml``,
``MLOPS_<SECTION>_<FIELD>`` environment variables, arguments. An unknown name is an error with the most similar known
name as its hint.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Meta

from mlops_workbench.core.errors import SettingsError, did_you_mean
from mlops_workbench.core.settings import Settings

#: ``MLOPS_*`` variables that are not settings: they define the workspace, the run and the control plane of a process.
RUNTIME_VARIABLES = frozenset(
    {
        "MLOPS_WORKSPACE",  # folder of the workspace; by default workbench.toml is searched
        "MLOPS_RUN_UID",  # run of the kernel of a pipeline stage
        "MLOPS_EXPERIMENT",  # experiment of that run
        "MLOPS_STAGE",  # file with the parameters, inputs and outputs of that stage
        "MLOPS_SECRET_NAMES",  # environment variables with secrets, separated by commas
        "MLOPS_URL",  # URL of a control plane on another host
        "MLOPS_TOKEN",  # token for that control plane
        "MLOPS_SIGNING_KEY",  # private key that signs models, as PEM text or the path of its file
        "MLOPS_DEBUG",  # any text: show the traceback when the capture of a cell fails
    }
)

_DEFAULTS = Settings()
#: Value and its source by section and field.
_Given = dict[tuple[str, str], tuple[object, str]]


def load_settings(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
) -> Settings:
    """Read and validate the settings.

    Parameters
    ----------
    file : Path, optional
        Path of a ``workbench.toml``; a missing file is like an empty one.
    environ : mapping, optional
        Environment variables, by default those of this process.
    arguments : mapping, optional
        Dotted names (``"control.port"``) to values; None is ignored.

    Returns
    -------
    Settings
        Validated settings.

    Raises
    ------
    SettingsError
        The TOML is not valid, a name is unknown, or a value has the wrong type or is out of range.
    """
    given: _Given = {}
    if file is not None:
        _from_file(file, given)
    _from_environment(os.environ if environ is None else environ, given)
    for dotted, value in (arguments or {}).items():
        if value is not None:
            section, _, field = dotted.partition(".")
            _put(given, section, field, value, f"argument {dotted}")
    return _validated(given)


def describe_settings() -> list[tuple[str, str, object, str]]:
    """Return all settings as ``(dotted name, environment variable, default, description)``."""
    rows = []
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            name = f"{section.name}.{field.name}"
            rows.append((name, _variable(section.name, field.name), default, _description(field.type)))
    return rows


def _variable(section: str, field: str) -> str:
    return f"MLOPS_{section}_{field}".upper()


def _fields() -> dict[str, tuple[str, ...]]:
    # msgspec.structs.fields would evaluate all annotations, and the first cell of a kernel waits for this function.
    return {section: getattr(_DEFAULTS, section).__struct_fields__ for section in Settings.__struct_fields__}


def _from_file(file: Path, given: _Given) -> None:
    try:
        # Editors of Windows write a byte order mark.
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", where=str(file), hint="save it as UTF-8 text") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"is not valid TOML: {error}", where=str(file), hint="see toml.io for the syntax"
        ) from error
    for section, body in table.items():
        if not isinstance(body, dict):
            raise SettingsError(
                f"'{section}' is outside a section", where=str(file), hint="move it below a [section] line"
            )
        for field, value in body.items():
            _put(given, section, field, value, f"{file} [{section}]")
        if not body and section not in _fields():
            _put(given, section, "", None, str(file))


def _from_environment(environ: Mapping[str, str], given: _Given) -> None:
    known = {_variable(section, field): (section, field) for section, fields in _fields().items() for field in fields}
    for name, text in environ.items():
        if not name.startswith("MLOPS_") or name in RUNTIME_VARIABLES:
            continue
        if name not in known:
            # Similar enough to be a misspelling.
            similar = difflib.get_close_matches(name, known.keys() | RUNTIME_VARIABLES, n=1, cutoff=0.85)
            if not similar and not name.startswith(tuple(f"MLOPS_{section.upper()}_" for section in _fields())):
                # A variable of another product with this prefix.
                continue
            raise SettingsError(
                f"unknown setting {name}",
                where="environment variables",
                hint=did_you_mean(name, known.keys() | RUNTIME_VARIABLES),
            )
        section, field = known[name]
        value: object = (
            text.split(os.pathsep) if isinstance(getattr(getattr(_DEFAULTS, section), field), list) else text
        )
        _put(given, section, field, value, f"environment {name}")


def _put(given: _Given, section: str, field: str, value: object, source: str) -> None:
    known = _fields()
    if section not in known:
        raise SettingsError(f"unknown section '{section}'", where=source, hint=did_you_mean(section, known))
    if field not in known[section]:
        raise SettingsError(f"unknown setting '{field}'", where=source, hint=did_you_mean(field, known[section]))
    given[section, field] = (value, source)


def _validated(given: _Given) -> Settings:
    # One field at a time, so that an error can name the source of the value.
    sections = {}
    for section in dict.fromkeys(section for section, _ in given):
        kind = type(getattr(_DEFAULTS, section))
        converted = {}
        for field in msgspec.structs.fields(kind):
            if (section, field.name) not in given:
                continue
            value, source = given[section, field.name]
            try:
                # Text is converted to a number only in environment variables, which are always text.
                strict = not source.startswith("environment")
                converted[field.name] = msgspec.convert(value, field.type, strict=strict)
            except msgspec.ValidationError as error:
                raise SettingsError(
                    f"{section}.{field.name} = {value!r}: {error}",
                    where=source,
                    hint=f"meaning: {_description(field.type)}",
                ) from error
        sections[section] = kind(**converted)
    return Settings(**sections)


def _description(kind: Any) -> str:
    return next((m.description for m in getattr(kind, "__metadata__", ()) if isinstance(m, Meta) and m.description), "")
