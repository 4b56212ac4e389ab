"""Settings of a workspace: their sections, meanings, bounds and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mlops_workbench.core.model_gates import ModelGate

Text = Annotated[str, Meta(max_length=4096)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the sections."""


class TrackingSettings(_Section, frozen=True):
    """MLflow store of runs and models."""

    uri: Annotated[Text, Meta(description="MLflow tracking URI; empty: SQLite in the workspace")] = ""
    experiment: Annotated[Text, Meta(description="default experiment of runs")] = "default"
    metrics: Annotated[
        dict[str, Text],
        Meta(description='metric by which a run is the best, by experiment: { flights = "mae", shop = "max sales" }'),
    ] = {}
    poll_seconds: Annotated[float, Meta(gt=0, le=60, description="seconds between two reads of the journals")] = 0.25
    follow_seconds: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds between two reads of runs that others logged to MLflow; 0: never"),
    ] = 5.0


class JournalSettings(_Section, frozen=True):
    """Journal, the append-only log of a kernel."""

    fsync_seconds: Annotated[
        float,
        Meta(ge=0, le=60, description="seconds of records that a loss of power may lose; 0: fsync after each record"),
    ] = 1.0
    segment_mb: Annotated[int, Meta(ge=1, le=1024, description="largest size of a journal file in MiB")] = 16
    keep_days: Annotated[
        float, Meta(ge=0, description="days to keep a journal after its delivery to MLflow; 0: no limit")
    ] = 30.0


class CaptureSettings(_Section, frozen=True):
    """Capture of cells."""

    autotrack: Annotated[bool, Meta(description="track every cell that fits a model as a run")] = False
    stages: Annotated[
        bool, Meta(description="record what the cells of a stage or of a notebook that runs as a job do, as %%track")
    ] = True
    digest_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="longest time in seconds to digest a data set; a larger one is sampled")
    ] = 2.0
    snapshot: Annotated[
        Literal["never", "training"], Meta(description="data sets to save as Parquet: never or training")
    ] = "never"
    environment: Annotated[bool, Meta(description="record git state, packages, machine and environment variables")] = (
        True
    )
    resources: Annotated[bool, Meta(description="record use of processor, memory, disk, network and GPU")] = True


class DataSettings(_Section, frozen=True):
    """Data that models are fitted on and asked about."""

    personal: Annotated[
        list[Text],
        Meta(description="names of personal columns, with * for any text; no file beside a model has their values"),
    ] = []
    personal_in_log: Annotated[
        Literal["hash", "drop"],
        Meta(description="personal columns in the prediction log: a keyed hash of each value, or nothing (drop)"),
    ] = "hash"


class PriceSettings(_Section, frozen=True):
    """Prices, for the cost and the energy of a run."""

    machine: Annotated[Text, Meta(description="kind of this machine, a name in per_hour")] = ""
    per_hour: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="price per hour by kind of machine, for example { laptop = 0.05, a100 = 3.2 }"),
    ] = {}
    per_kwh: Annotated[float, Meta(ge=0, description="price per kilowatt-hour; 0: not counted")] = 0.0
    idle_watts: Annotated[float, Meta(ge=0, description="power of the idle machine in watts")] = 0.0
    busy_watts: Annotated[
        float, Meta(ge=0, description="power of the machine at full load in watts; 0: use only measured energy")
    ] = 0.0
    currency: Annotated[str, Meta(max_length=8, description="currency of the prices")] = "EUR"


class ControlSettings(_Section, frozen=True):
    """The control plane."""

    host: Annotated[Text, Meta(description="address to listen on; a team needs another one than loopback")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="port to listen on; 0: any free port")] = 0
    database: Annotated[Text, Meta(description="SQLAlchemy URL of the database; empty: SQLite in the workspace")] = ""


class PipelineSettings(_Section, frozen=True):
    """Notebook pipelines."""

    folder: Annotated[Text, Meta(description="folder of the pipeline specs, relative to the workspace")] = "pipelines"
    workers: Annotated[
        int, Meta(ge=0, le=256, description="largest number of parallel stages of a run; 0: limited by resources only")
    ] = 0
    cpu: Annotated[
        float, Meta(ge=0, description="processor cores for the stages of a run; 0: those of the machine")
    ] = 0.0
    memory_gb: Annotated[
        float, Meta(ge=0, description="memory for the stages of a run in GB; 0: that of the machine")
    ] = 0.0
    gpu: Annotated[int, Meta(ge=-1, le=1024, description="GPUs for the stages of a run; -1: those of the machine")] = -1
    max_output_mb: Annotated[
        float, Meta(gt=0, le=2000, description="output in MB that an executed notebook keeps of one cell")
    ] = 20.0
    resume_hours: Annotated[
        float,
        Meta(ge=0, le=8760, description="hours in which a run whose runner was killed is resumed by itself; 0: never"),
    ] = 24.0
    warm_servers: Annotated[
        int, Meta(ge=0, le=64, description="largest number of servers that fork kernels with their imports; 0: none")
    ] = 4
    warm_minutes: Annotated[
        float, Meta(gt=0, le=1440, description="minutes after which such a server ends when it is not used")
    ] = 30.0


class ServingSettings(_Section, frozen=True):
    """Endpoints."""

    host: Annotated[Text, Meta(description="address to listen on")] = "127.0.0.1"
    token: Annotated[Text, Meta(description="bearer token; required unless the host is loopback")] = ""
    tokens: Annotated[
        list[str], Meta(description="further tokens, as hashes with what each allows; see 'mlops tokens new'")
    ] = []
    log_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="longest time in seconds until a prediction is in a segment of the log and synced to the disk",
        ),
    ] = 2.0
    log_rows: Annotated[int, Meta(ge=1, description="rows per segment of the prediction log")] = 50_000
    max_body_mb: Annotated[int, Meta(ge=1, le=4096, description="largest request body in MiB")] = 64
    workers: Annotated[
        int, Meta(ge=1, le=64, description="processes that answer requests; they share the memory of the model")
    ] = 1
    spare_process: Annotated[
        bool,
        Meta(
            description="keep a process of about 100 MB ready for ten minutes after a registration, a check of a "
            "model, the start of an endpoint or a batch of predictions; with it, the next one starts in a moment"
        ),
    ] = True
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="longest time in seconds until a request is answered")
    ] = 60.0
    runtime: Annotated[
        Literal["auto", "sklearn", "onnx"],
        Meta(
            description="auto: a compiled form of the model answers, if it gives the answers of the golden set, or "
            "one of ONNX Runtime, if that is installed; onnx: only the latter; sklearn: the model itself"
        ),
    ] = "auto"
    allow_pickle: Annotated[
        bool, Meta(description="serve models saved with pickle, which can run any code on loading")
    ] = False
    allow_pyfunc: Annotated[
        bool,
        Meta(description="serve models of any flavor of MLflow, whose code can do anything on loading and predicting"),
    ] = False
    trusted_types: Annotated[
        list[str], Meta(description="types that skops models may contain besides the built-in list")
    ] = []
    trusted_keys: Annotated[
        list[str], Meta(description="public keys whose signatures on models are trusted: PEM texts, or paths of files")
    ] = []
    require_signature: Annotated[
        bool, Meta(description="serve and load only models with a signature by a trusted key")
    ] = False


class GateSettings(_Section, frozen=True):
    """Gates of models."""

    prove_on_register: Annotated[
        bool,
        Meta(
            description="load each version that is registered as an endpoint does, in a process of its own, to say "
            "which runtime answers and whether it gives the answers of the golden set"
        ),
    ] = True
    models: Annotated[
        dict[str, ModelGate],
        Meta(
            description="what a version has to show to become the champion, by the model's name or a pattern with *:"
            ' [gates.models."flight-*"] with conditions, golden, latency_ms, size_mb'
        ),
    ] = {}
    replay_rows: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="logged rows of an endpoint that a version answers before it is served there; 0: none",
        ),
    ] = 1000
    replay_errors: Annotated[
        bool, Meta(description="refuse a version that fails on one of these rows, which the present version answered")
    ] = True
    replay_agree: Annotated[
        float, Meta(ge=0, le=1, description="refuse a version that gives the same answer to a smaller share of them")
    ] = 0.0


class MonitoringSettings(_Section, frozen=True):
    """Monitors: evaluation, drift and alerts."""

    interval_seconds: Annotated[float, Meta(gt=0, description="seconds between two evaluations of a monitor")] = 30.0
    min_rows: Annotated[int, Meta(ge=50, description="rows of the smallest window that is evaluated")] = 200
    act_rows: Annotated[int, Meta(ge=50, description="rows of the smallest window that can raise an alert")] = 500
    max_rows: Annotated[
        int, Meta(ge=100, description="largest number of rows sampled from a window or the reference")
    ] = 5000
    permutations: Annotated[int, Meta(ge=99, description="number of permutations of the drift test")] = 500
    alpha: Annotated[float, Meta(ge=0.0001, lt=1, description="false discovery rate over all features")] = 0.05
    numeric_effect: Annotated[
        float, Meta(ge=0, description="smallest numeric drift: Wasserstein distance in standard deviations")
    ] = 0.1
    categorical_effect: Annotated[
        float, Meta(ge=0, le=1, description="smallest categorical drift: total variation distance, 0 to 1")
    ] = 0.05
    consecutive: Annotated[
        int, Meta(ge=1, le=3, description="windows of the last three that must agree for an alert")
    ] = 2
    cooldown_seconds: Annotated[
        float, Meta(ge=0, description="shortest time in seconds between two pipeline runs started by alerts")
    ] = 3600.0

    @property
    def alert_rows(self) -> int:
        """Rows of the smallest window that is evaluated and can raise an alert."""
        return max(self.min_rows, self.act_rows)


class RetentionSettings(_Section, frozen=True):
    """What is removed; nothing unless a limit is set. What a kept run or a registered version refers to stays."""

    runs_days: Annotated[
        float,
        Meta(
            ge=0,
            description="days to keep files of runs after their end, results of stages after their last use; 0: always",
        ),
    ] = 0.0
    failed_days: Annotated[
        float, Meta(ge=0, description="the same for runs that failed or were stopped; 0: as runs_days")
    ] = 0.0
    store_gb: Annotated[
        float,
        Meta(ge=0, description="size of the files of runs in GB; the oldest are removed beyond it; 0: no limit"),
    ] = 0.0
    predictions_days: Annotated[
        float, Meta(ge=0, description="days to keep logged predictions and their outcomes; 0: always")
    ] = 0.0


class Settings(_Section, frozen=True):
    """All settings of a workspace."""

    tracking: TrackingSettings = TrackingSettings()
    journal: JournalSettings = JournalSettings()
    capture: CaptureSettings = CaptureSettings()
    data: DataSettings = DataSettings()
    prices: PriceSettings = PriceSettings()
    control: ControlSettings = ControlSettings()
    pipelines: PipelineSettings = PipelineSettings()
    serving: ServingSettings = ServingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    gates: GateSettings = GateSettings()
    retention: RetentionSettings = RetentionSettings()
