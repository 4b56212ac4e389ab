"""Commands about registered models."""

from __future__ import annotations

import click

from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.commands.cells import Cell, metric_cell
from mlops_workbench.commands.completion import model_names, run_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.models import AliasChange, ModelVersion
from mlops_workbench.core.releases import Quarantine
from mlops_workbench.core.shown.formats import moment

_SHOWN_CHANGES = 10
#: Of the identity of a key.
_SHOWN_DIGITS = 16

gate_option = click.option(
    "--gate",
    multiple=True,
    metavar="CONDITION",
    help="Condition on the metrics, such as 'mae < 25' or 'mae <= champion.mae'; repeatable.",
)
override_option = click.option(
    "--override", default="", metavar="REASON", help="Set the alias although the gate fails; the reason is recorded."
)
release_option = click.option(
    "--release-quarantine",
    default="",
    metavar="REASON",
    help="Bring a version back that was rolled back; the reason is recorded.",
)
baseline_option = click.option(
    "--baseline", default="", metavar="RUN", shell_complete=run_names, help="Run that a gate refers to as 'baseline'."
)


@click.command()
@click.argument("name", required=False, shell_complete=model_names)
@click.pass_obj
def models(frontend: FrontEnd, name: str | None) -> View:
    """List registered models, or the versions of model NAME."""
    with frontend.client() as client:
        if name is None:
            found = client.models()
            return View(
                "registered models" if found else "no registered models yet",
                columns=("model", "newest", "aliases", "changed"),
                rows=[
                    (m.name, m.latest, ", ".join(f"{alias} = {v}" for alias, v in m.aliases.items()),
                     moment(m.updated_ms))
                    for m in found
                ],
                notes=[] if found else [f"register the model of a run: {frontend.prog} register RUN --as NAME"],
                data=found,
            )  # fmt: skip
        versions, changes = client.versions(name), client.alias_changes(name)
    metrics = list(dict.fromkeys(metric for version in versions for metric in version.metrics))[:6]
    return View(
        f"versions of {name}",
        columns=("version", "aliases", *metrics, "gate", "signed by", "registered"),
        rows=[
            [v.version, _standing(v), *(metric_cell(v.metrics.get(metric)) for metric in metrics), _gate(v),
             _signed_by(v), moment(v.created_ms)]
            for v in versions
        ],
        sections=[
            *([_quarantined(versions)] if any(v.quarantine for v in versions) else []),
            *([_changes(changes[:_SHOWN_CHANGES])] if changes else []),
        ],
        data=versions,
    )  # fmt: skip


@click.command()
@click.argument("run", shell_complete=run_names)
@click.option("--as", "name", required=True, metavar="MODEL", shell_complete=model_names, help="Name of the model.")
@click.option("--model", default="", metavar="NAME", help="Which of the run's models, if it has several.")
@click.option("--alias", default="", help="Alias to set if the gate passes, for example champion.")
@gate_option
@baseline_option
@override_option
@release_option
@click.pass_obj
def register(
    frontend: FrontEnd,
    run: str,
    name: str,
    model: str,
    alias: str,
    gate: tuple[str, ...],
    baseline: str,
    override: str,
    release_quarantine: str,
) -> View:
    """Register the model of RUN as a new version of a registered model."""
    _check_baseline(gate, baseline)
    frontend.save_model(run)
    with frontend.client() as client:
        experiment = frontend.experiment() or ""
        request = RegisterRequest(run, model, list(gate), alias, baseline, experiment, override, release_quarantine)
        return version_view(client.register(name, request), "registered", frontend.prog)


@click.command()
@click.argument("reference", metavar="MODEL/VERSION")
@click.option("--alias", default="champion", show_default=True, help="Alias to set.")
@gate_option
@baseline_option
@override_option
@release_option
@click.pass_obj
def promote(
    frontend: FrontEnd,
    reference: str,
    alias: str,
    gate: tuple[str, ...],
    baseline: str,
    override: str,
    release_quarantine: str,
) -> View:
    """Set an alias of a model version if the gate passes.

    For the champion, what [gates.models] in workbench.toml asks for is part of the gate. When the champion changes, the
    old champion gets the alias 'previous'.
    """
    _check_baseline(gate, baseline)
    name, slash, number = reference.partition("/")
    if not slash or not number.isdecimal() or len(number) > 10:
        raise InvalidInput(f"'{reference}' is not a model version", hint="write MODEL/VERSION, for example churn/3")
    with frontend.client() as client:
        request = PromoteRequest(alias, list(gate), baseline, override, release_quarantine)
        version = client.promote(name, int(number), request)
    return version_view(version, "promoted", frontend.prog)


def _check_baseline(gate: tuple[str, ...], baseline: str) -> None:
    if baseline and not any("baseline" in condition for condition in gate):
        raise InvalidInput(
            "no condition refers to the baseline", hint="for example: --gate 'mae <= baseline.mae' --baseline RUN"
        )


def version_view(version: ModelVersion, done: str, prog: str) -> View:
    """Everything about a model version."""
    facts: list[tuple[str, Cell]] = [
        ("aliases", ", ".join(version.aliases) or "–"),
        ("estimator", version.estimator),
        ("format", version.format),
        *([("answered by", str(version.runtime))] if version.runtime is not None else []),
        ("run", short_id(version.run_uid)),
        ("signed by", _signed_by(version) or "–"),
        *(("trained on", f"{data.name} {data.digest[:8]} ({data.rows:,} rows)") for data in version.training[:3]),
    ]
    if version.quarantine is not None:
        facts.append(("in quarantine", quarantine_text(version.quarantine)))
    checks = version.gate.checks if version.gate else []
    if version.gate is not None and version.gate.override:
        facts.append(("promoted because", version.gate.override))
    sections = [
        View("gate", ("condition", "passed", "evidence"), [(c.condition, c.passed, c.detail) for c in checks]),
        View(
            "metrics",
            ("name", "value"),
            [(name, metric_cell(v)) for name, v in sorted(version.metrics.items())],
        ),
        View("inputs", ("name", "type", "required"), [(c.name, c.dtype, c.required) for c in version.inputs]),
    ]
    return View(
        f"{done} {version.name}/{version.version}",
        facts=facts,
        sections=[section for section in sections if section.rows],
        notes=[*([version.notice] if version.notice else []), _next(version, prog)],
        data=version,
    )


def _changes(changes: list[AliasChange]) -> View:
    return View(
        "changes of aliases",
        columns=("alias", "version", "before", "change", "by", "gate", "at"),
        rows=[
            (c.alias, c.version or None, c.replaced or None, f"{c.reason}: {c.why}" if c.why else c.reason,
             c.by or None,
             "; ".join(check.condition for check in c.gate.checks) if c.gate else None, moment(c.at_ms))
            for c in changes
        ],
    )  # fmt: skip


def _standing(version: ModelVersion) -> str:
    return ", ".join([*version.aliases, *(["in quarantine"] if version.quarantine else [])])


def quarantine_text(found: Quarantine) -> str:
    """Why, by whom and since when a version is in quarantine."""
    return f"{found.reason} (rolled back by {found.by}, {moment(found.at_ms)})"


def _quarantined(versions: list[ModelVersion]) -> View:
    return View(
        "in quarantine: rolled back, and brought back only with --release-quarantine REASON",
        columns=("version", "why", "by", "since"),
        rows=[
            (v.version, v.quarantine.reason, v.quarantine.by, moment(v.quarantine.at_ms))
            for v in versions
            if v.quarantine is not None
        ],
    )


def _next(version: ModelVersion, prog: str) -> str:
    if version.problem:
        return f"it cannot be deployed: {version.problem}"
    if version.untrusted:
        types = " ".join(version.untrusted)
        return (
            f"it cannot be deployed: it contains types that are not trusted: {', '.join(version.untrusted)}. If you "
            f"trust their code: {prog} trust {types}"
        )
    if version.quarantine is not None:
        return f"it is in quarantine: {version.quarantine.reason}"
    if version.aliases:
        return f"next: {prog} deploy {version.name}@{version.aliases[0]}"
    return f"next: {prog} promote {version.name}/{version.version}"


def _signed_by(version: ModelVersion) -> str | None:
    match version.signature:
        case "none":
            return None
        case "wrong":
            return "wrong signature"
        case "unknown":
            return f"{version.signed_by[:_SHOWN_DIGITS]} (not trusted here)"
    return version.signed_by[:_SHOWN_DIGITS]


def _gate(version: ModelVersion) -> str | None:
    return None if version.gate is None else ("passed" if version.gate.passed else "failed")


COMMANDS = (models, register, promote)
