"""Settings: one documented field per knob, from file, environment and arguments.

Precedence, low to high: the default written here, ``workbench.toml``, ``MLOPS_<SECTION>_<FIELD>``
environment variables, arguments. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mlops_workbench.core.errors import SettingsError, did_you_mean

#: ``MLOPS_*`` variables that are not settings: they tell a process which workspace and run it belongs to.
RUNTIME_VARIABLES = frozenset(
    {
        "MLOPS_WORKSPACE",  # folder of the workspace, instead of the search for workbench.toml
        "MLOPS_RUN_UID",  # run that a pipeline stage's kernel logs into
        "MLOPS_EXPERIMENT",  # experiment of that run
        "MLOPS_URL",  # control plane on another host
        "MLOPS_TOKEN",  # token for it
        "MLOPS_DEBUG",  # anything: a failed observation of a cell shows its traceback
    }
)

Text = Annotated[str, Meta(max_length=4096)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the sections."""


class TrackingSettings(_Section, frozen=True):
    """Where runs, metrics and models are kept."""

    uri: Annotated[Text, Meta(description="MLflow tracking URI; empty: SQLite in the workspace")] = ""
    experiment: Annotated[Text, Meta(description="experiment of runs that name none")] = "default"
    poll_seconds: Annotated[float, Meta(gt=0, le=60, description="seconds between two looks at the journals")] = 0.25
    follow_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="seconds between two looks at the runs of others in MLflow; 0: never")
    ] = 5.0


class JournalSettings(_Section, frozen=True):
    """The append-only log that a kernel writes."""

    fsync_seconds: Annotated[
        float, Meta(ge=0, le=60, description="longest time that a power cut can lose; 0: every record")
    ] = 1.0
    segment_mb: Annotated[int, Meta(ge=1, le=1024, description="size in MiB at which a journal file rotates")] = 16
    keep_days: Annotated[
        float, Meta(ge=0, description="days that a journal is kept after all of it is in MLflow; 0: for ever")
    ] = 30.0


class CaptureSettings(_Section, frozen=True):
    """What is observed of a cell."""

    autotrack: Annotated[bool, Meta(description="make every cell that fits a model a run")] = False
    digest_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="longest time for the version of one data set; beyond: of a sample")
    ] = 2.0
    snapshot: Annotated[
        Literal["never", "training"], Meta(description="keep training data as Parquet: never or training")
    ] = "never"
    environment: Annotated[
        bool, Meta(description="record git, packages, machine and environment variables of a run")
    ] = True
    resources: Annotated[bool, Meta(description="sample processor, memory, disk, network and GPU of a run")] = True


class PriceSettings(_Section, frozen=True):
    """What computing costs, for the money and the energy of a run."""

    machine: Annotated[Text, Meta(description="kind of machine this is, one of those in per_hour")] = ""
    per_hour: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="price of an hour of each kind of machine, like { laptop = 0.05, a100 = 3.2 }"),
    ] = {}
    per_kwh: Annotated[float, Meta(ge=0, description="price of a kilowatt-hour; 0: not counted")] = 0.0
    idle_watts: Annotated[float, Meta(ge=0, description="power of the machine when it does nothing")] = 0.0
    busy_watts: Annotated[
        float, Meta(ge=0, description="power when all its processors work; 0: energy only where it can be measured")
    ] = 0.0
    currency: Annotated[str, Meta(max_length=8, description="currency of the prices")] = "EUR"


class ControlSettings(_Section, frozen=True):
    """The control plane."""

    host: Annotated[Text, Meta(description="address it listens on; anything but loopback is for a team")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="port; 0: any free one")] = 0
    database: Annotated[Text, Meta(description="SQLAlchemy URL; empty: SQLite in the workspace")] = ""


class PipelineSettings(_Section, frozen=True):
    """Notebook pipelines."""

    folder: Annotated[Text, Meta(description="folder with pipeline specs, relative to the workspace")] = "pipelines"
    workers: Annotated[int, Meta(ge=1, le=256, description="stages of one pipeline run at the same time")] = 2


class ServingSettings(_Section, frozen=True):
    """Endpoint processes."""

    host: Annotated[Text, Meta(description="address that endpoints listen on")] = "127.0.0.1"
    token: Annotated[Text, Meta(description="bearer token; required when the host is not loopback")] = ""
    log_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="longest time a logged prediction waits before it is on disk")
    ] = 2.0
    log_rows: Annotated[int, Meta(ge=1, description="rows after which a prediction log segment is written")] = 50_000
    max_body_mb: Annotated[int, Meta(ge=1, le=4096, description="largest request body in MiB")] = 64
    allow_pickle: Annotated[
        bool, Meta(description="serve models saved with pickle, which can run any code when loaded")
    ] = False
    trusted_types: Annotated[
        list[str], Meta(description="types besides the built-in allow-list that a skops model may hold")
    ] = []


class MonitoringSettings(_Section, frozen=True):
    """What counts as drift, and when to act."""

    interval_seconds: Annotated[float, Meta(gt=0, description="seconds between two evaluations")] = 30.0
    min_rows: Annotated[int, Meta(ge=50, description="smallest window that is evaluated")] = 200
    act_rows: Annotated[int, Meta(ge=50, description="smallest window that can raise an alert")] = 500
    max_rows: Annotated[int, Meta(ge=100, description="rows sampled from a window, and from the reference")] = 5000
    permutations: Annotated[int, Meta(ge=99, description="permutations of the drift test")] = 500
    alpha: Annotated[float, Meta(gt=0, lt=1, description="false discovery rate over the features")] = 0.05
    numeric_effect: Annotated[
        float, Meta(ge=0, description="smallest shift that counts: Wasserstein distance in reference deviations")
    ] = 0.1
    categorical_effect: Annotated[
        float, Meta(ge=0, le=1, description="smallest shift that counts: total variation distance")
    ] = 0.05
    consecutive: Annotated[int, Meta(ge=1, description="windows out of the last three that must agree")] = 2
    cooldown_seconds: Annotated[float, Meta(ge=0, description="pause between two triggered pipeline runs")] = 3600.0


class Settings(_Section, frozen=True):
    """All settings of a workspace."""

    tracking: TrackingSettings = TrackingSettings()
    journal: JournalSettings = JournalSettings()
    capture: CaptureSettings = CaptureSettings()
    prices: PriceSettings = PriceSettings()
    control: ControlSettings = ControlSettings()
    pipelines: PipelineSettings = PipelineSettings()
    serving: ServingSettings = ServingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()


_DEFAULTS = Settings()


def load_settings(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
) -> Settings:
    """Read and validate the settings.

    Parameters
    ----------
    file : Path, optional
        A ``workbench.toml``; a missing file counts as empty.
    environ : mapping, optional
        Environment, by default this process's.
    arguments : mapping, optional
        Dotted names (``"control.port"``) to values; values that are None are left out.

    Returns
    -------
    Settings
        Validated, immutable.

    Raises
    ------
    SettingsError
        Broken TOML, an unknown key, or a value of the wrong type or range.
    """
    values: dict[str, dict[str, Any]] = {}
    sources: dict[tuple[str, str], str] = {}
    if file is not None:
        _from_file(file, values, sources)
    _from_environment(os.environ if environ is None else environ, values, sources)
    for dotted, value in (arguments or {}).items():
        if value is not None:
            section, _, field = dotted.partition(".")
            _put(values, sources, section, field, value, f"argument {dotted}")
    return _validated(values, sources)


def describe_settings() -> list[tuple[str, str, object, str]]:
    """Every setting as ``(dotted name, environment variable, default, description)``."""
    rows = []
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            meta = getattr(field.type, "__metadata__", ())
            text = next((m.description for m in meta if isinstance(m, Meta) and m.description), "")
            name = f"{section.name}.{field.name}"
            rows.append((name, _variable(section.name, field.name), default, text))
    return rows


def _variable(section: str, field: str) -> str:
    return f"MLOPS_{section}_{field}".upper()


def _fields() -> dict[str, tuple[str, ...]]:
    # Not by msgspec.structs.fields, which evaluates all annotations: the first cell of a kernel waits for this.
    return {section: getattr(_DEFAULTS, section).__struct_fields__ for section in Settings.__struct_fields__}


def _from_file(file: Path, values: dict[str, dict[str, Any]], sources: dict[tuple[str, str], str]) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", where=str(file), hint="write it as UTF-8 text") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"is not valid TOML: {error}", where=str(file), hint="see toml.io for the syntax"
        ) from error
    for section, body in table.items():
        if not isinstance(body, dict):
            raise SettingsError(
                f"'{section}' stands outside a section", where=str(file), hint="put it below a [section] line"
            )
        for field, value in body.items():
            _put(values, sources, section, field, value, f"{file} [{section}]")
        if not body and section not in _fields():
            _put(values, sources, section, "", None, str(file))


def _from_environment(
    environ: Mapping[str, str], values: dict[str, dict[str, Any]], sources: dict[tuple[str, str], str]
) -> None:
    known = {_variable(section, field): (section, field) for section, fields in _fields().items() for field in fields}
    for name, text in environ.items():
        if not name.startswith("MLOPS_") or name in RUNTIME_VARIABLES:
            continue
        if name not in known:
            # A slip of the pen, not just another name.
            near = difflib.get_close_matches(name, known.keys() | RUNTIME_VARIABLES, n=1, cutoff=0.85)
            if not near and not name.startswith(tuple(f"MLOPS_{section.upper()}_" for section in _fields())):
                # Other products use this prefix too.
                continue
            raise SettingsError(
                f"unknown setting {name}",
                where="environment",
                hint=did_you_mean(name, known.keys() | RUNTIME_VARIABLES),
            )
        section, field = known[name]
        value: object = text.split(os.pathsep) if field == "trusted_types" else text
        _put(values, sources, section, field, value, f"environment {name}")


def _put(
    values: dict[str, dict[str, Any]],
    sources: dict[tuple[str, str], str],
    section: str,
    field: str,
    value: object,
    source: str,
) -> None:
    known = _fields()
    if section not in known:
        raise SettingsError(f"unknown section '{section}'", where=source, hint=did_you_mean(section, known))
    if field not in known[section]:
        raise SettingsError(f"unknown setting '{field}'", where=source, hint=did_you_mean(field, known[section]))
    values.setdefault(section, {})[field] = value
    sources[section, field] = source


def _validated(values: dict[str, dict[str, Any]], sources: dict[tuple[str, str], str]) -> Settings:
    # One field at a time, so that an error can name where its value came from.
    sections = {}
    for section, given in values.items():
        kind = type(getattr(_DEFAULTS, section))
        converted = {}
        for field in msgspec.structs.fields(kind):
            if field.name not in given:
                continue
            source = sources[section, field.name]
            try:
                # Text stands for a number only where text is all there can be: in the environment.
                strict = not source.startswith("environment")
                converted[field.name] = msgspec.convert(given[field.name], field.type, strict=strict)
            except msgspec.ValidationError as error:
                raise SettingsError(
                    f"{section}.{field.name} = {given[field.name]!r}: {error}",
                    where=source,
                    hint=_expected(field.type),
                ) from error
        sections[section] = kind(**converted)
    return Settings(**sections)


def _expected(kind: Any) -> str:
    meta = next((m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Meta)), None)
    return f"it means: {meta.description}" if meta and meta.description else "see 'mlops init --help'"
