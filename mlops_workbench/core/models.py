"""Registered models, their versions and what gates said of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GateCheck:
    """One condition of a gate: its text, whether it holds, and the numbers it saw."""

    condition: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class GateResult:
    """What a gate said; it passes when every check does."""

    passed: bool
    checks: list[GateCheck]
    at_ms: int


@dataclass(frozen=True)
class SignatureColumn:
    """A column of a model's input or output, with its MLflow data type."""

    name: str
    dtype: str
    required: bool = True


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes
    ----------
    name, version
        Registered model and version number.
    run_uid, run_id : str
        The run that made it.
    aliases : list of str
        ``champion``, ``previous``, ``challenger`` and others.
    created_ms : int
        Time of registration.
    metrics, params : dict
        Of its run.
    inputs, outputs : list of SignatureColumn
        Signature; empty when unknown.
    gate : GateResult or None
        Last gate evaluated for it.
    estimator, format : str
        Class name and file format.
    """

    name: str
    version: int
    run_uid: str
    run_id: str
    aliases: list[str]
    created_ms: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    inputs: list[SignatureColumn] = field(default_factory=list)
    outputs: list[SignatureColumn] = field(default_factory=list)
    gate: GateResult | None = None
    estimator: str = ""
    format: str = ""
    description: str = ""


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model: its newest version and its aliases (alias to version number)."""

    name: str
    latest: int
    aliases: dict[str, int]
    updated_ms: int
