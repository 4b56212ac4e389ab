"""Registered models, their versions and gate results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops_workbench.core.releases import Quarantine
from mlops_workbench.core.wire.json_numbers import JsonNumber

#: Of a version: not signed, by a trusted key, by an unknown one, not right. Its files are verified when it is loaded.
SignatureState = Literal["none", "trusted", "unknown", "wrong"]

#: Formats of the models that endpoints serve, and their libraries in words.
SERVED_FORMATS = ("skops", "ubj", "json", "lgb", "cbm", "cloudpickle", "pickle")
SERVED_LIBRARIES = "models of scikit-learn, XGBoost, LightGBM and CatBoost"


def model_name(reference: str) -> str:
    """Name of the registered model of a reference: ``name``, ``name@alias`` or ``name/3``, also after ``models:/``."""
    return reference.removeprefix("models:/").split("@")[0].split("/")[0]


@dataclass(frozen=True)
class GateCheck:
    """One check of a gate.

    Attributes
    ----------
    condition : str
        What is asked for.
    passed : bool
        Whether it holds.
    detail : str
        The evidence: the compared numbers, or what was found.
    kind : str
        ``metric golden test data latency size champion replay``.
    """

    condition: str
    passed: bool
    detail: str
    kind: str = "metric"


@dataclass(frozen=True)
class GateResult:
    """Result of a gate.

    Attributes
    ----------
    passed : bool
        Whether all checks pass.
    checks : list of GateCheck
        The checks.
    at_ms : int
        When it was evaluated, in milliseconds since the epoch.
    override : str
        Why the version was promoted although it did not pass; empty if it was not.
    """

    passed: bool
    checks: list[GateCheck]
    at_ms: int
    override: str = ""


@dataclass(frozen=True)
class SignatureColumn:
    """A column of a model's input or output; `dtype` is the MLflow data type."""

    name: str
    dtype: str
    required: bool = True


@dataclass(frozen=True)
class TrainingData:
    """A version of data that a model was trained on: its name in the run, digest, and number of rows."""

    name: str
    digest: str
    rows: int


@dataclass(frozen=True)
class ProvenRuntime:
    """What answered for a version in a process of its own, as that of an endpoint does.

    Attributes
    ----------
    name : str
        The runtime.
    uncompiled : str
        Why it is no compiled form of the model; empty if it is one.
    rows : int
        Rows of the golden set to which it gave the model's own answers.
    """

    name: str
    uncompiled: str = ""
    rows: int = 0

    def __str__(self) -> str:
        """In one line."""
        why = f" ({self.uncompiled})" if self.uncompiled else ""
        return f"{self.name}{why}, proven on {self.rows:,} rows" if self.rows else f"{self.name}{why}, without a proof"


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes
    ----------
    name, version
        Registered model and version number.
    run_uid, run_id : str
        Workbench id and MLflow id of the run that logged the model.
    aliases : list of str
        ``champion``, ``previous``, ``challenger`` and others.
    created_ms : int
        Time of registration, in milliseconds since the epoch.
    metrics, params : dict
        Metrics and parameters of the run.
    inputs, outputs : list of SignatureColumn
        Columns of the signature; empty when unknown.
    gate : GateResult or None
        Result of the last gate evaluated for this version.
    estimator, format : str
        Class name of the estimator, and file format.
    training : list of TrainingData
        Data that it was trained on.
    problem : str
        Why endpoints cannot serve it, empty if they can.
    untrusted : list of str
        Types in it that neither the built-in list nor the settings allow.
    signed_by : str
        Identity of the key that signed its files, empty for none.
    signature : str
        What the signature is worth by the keys that the workspace trusts.
    digest : str
        Identity of its model, which covers its files and its run.
    quarantine : Quarantine or None
        Why it must not come back by itself, after it was rolled back; None if it was not.
    notice : str
        What its registration could not do, and how to mend it; empty for nothing, and later.
    runtime : ProvenRuntime or None
        What answers requests, as it was proven when the version was registered; None if that is not known. Endpoints
        prove it again.
    """

    name: str
    version: int
    run_uid: str
    run_id: str
    aliases: list[str]
    created_ms: int
    metrics: dict[str, JsonNumber | None] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    inputs: list[SignatureColumn] = field(default_factory=list)
    outputs: list[SignatureColumn] = field(default_factory=list)
    gate: GateResult | None = None
    estimator: str = ""
    format: str = ""
    description: str = ""
    training: list[TrainingData] = field(default_factory=list)
    problem: str = ""
    untrusted: list[str] = field(default_factory=list)
    signed_by: str = ""
    signature: SignatureState = "none"
    notice: str = ""
    # With a factory, as for other new values, clients in TypeScript may leave it out.
    digest: str = field(default_factory=str)
    quarantine: Quarantine | None = None
    runtime: ProvenRuntime | None = None


@dataclass(frozen=True)
class AliasChange:
    """A change of an alias of a model.

    Attributes
    ----------
    version, replaced : int
        The version that has the alias since, and the one that had it before; 0 for none.
    reason : str
        Who moved it, such as ``promoted`` or ``set in MLflow``.
    gate : GateResult or None
        The gate that allowed it.
    at_ms : int
        When, in milliseconds since the epoch.
    by : str
        Who moved it; empty if that is not known.
    why : str
        Why it was rolled back, in the words of who did it; empty for other changes.
    """

    model: str
    alias: str
    version: int
    replaced: int
    reason: str
    gate: GateResult | None
    at_ms: int
    by: str = field(default_factory=str)
    why: str = field(default_factory=str)


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model: newest version, aliases with their versions, last change in milliseconds since the epoch."""

    name: str
    latest: int
    aliases: dict[str, int]
    updated_ms: int
