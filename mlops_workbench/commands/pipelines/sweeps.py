"""Commands about sweeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_workbench.client.bodies import RegisterRequest
from mlops_workbench.commands.cells import metric_cell
from mlops_workbench.commands.completion import experiment_names, model_names, names, pipeline_names
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.models import version_view
from mlops_workbench.commands.pipelines.runs import PipelineFailed, client_to_run, find_run, run_facts
from mlops_workbench.commands.values import (
    given_parameters,
    parameter_options,
    parse_assignments,
    parse_duration,
    parse_texts,
)
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import Conflict, InvalidInput
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.shown.formats import duration, moment, number, share
from mlops_workbench.core.sweeps import Sweep, SweepRequest, Trial
from mlops_workbench.core.wire.json_numbers import real_number

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client

_sweep_ids = names(lambda client: [sweep.run.id for sweep in client.sweeps()])


class _Sweeps(click.Group):
    """A group in which a word that is no command is the target of a new sweep."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("sweep", cls=_Sweeps, invoke_without_command=True)
@click.pass_context
def sweep(context: click.Context) -> View | None:
    """Run a notebook or a pipeline with many values of its parameters, and find the best.

    For example: sweep train.ipynb -p lr=0.1,0.2,0.3 -p depth=2..8 --metric auc --max. Without a command, lists the
    sweeps; 'sweep run --help' tells of all ways to give values and of all options.
    """
    return _list(context.obj) if context.invoked_subcommand is None else None


def _list(frontend: FrontEnd) -> View:
    with frontend.client() as client:
        found = client.sweeps()
    return View(
        "sweeps" if found else "no sweeps yet",
        columns=("sweep", "of", "method", "state", "started", "result"),
        rows=[
            (short_id(s.run.id), s.run.pipeline, s.method, s.run.state, moment(s.run.start_ms), s.run.message or None)
            for s in found
        ],
        notes=[] if found else [f"start one: {frontend.prog} sweep NOTEBOOK -p lr=0.1,0.2,0.3 --metric auc --max"],
        data=found,
    )


@sweep.command("run")
@click.argument("target", metavar="NOTEBOOK|PIPELINE", shell_complete=pipeline_names)
@parameter_options
@click.option(
    "--method",
    default="",
    metavar="METHOD",
    help="grid, random, lhs, halving, or a sampler of Optuna: tpe, cmaes, gp, qmc, package.module:Class.",
)
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Argument of Optuna's sampler; repeatable."
)
@click.option("--metric", default="", help="What a trial is judged by.")
@click.option("--max", "direction", flag_value="max", help="High values are better; by default as the name says.")
@click.option("--min", "direction", flag_value="min", help="Low values are better.")
@click.option(
    "--budget", default="", metavar="NAME=LOW..HIGH", help="Of halving: parameter that says how long a trial trains."
)
@click.option(
    "--eta",
    type=click.IntRange(2, 100),
    default=3,
    show_default=True,
    help="Of halving: one of so many trials goes on.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="For the same values again.")
@click.option(
    "--parallel", type=click.IntRange(1, 256), help="Most trials at a time; by default what the resources allow."
)
@click.option("--runs", type=click.IntRange(1), help="Most trials.")
@click.option("--minutes", type=float, help="Start no trial after this time; those that run end.")
@click.option("--money", type=float, help="Start no trial after this cost, by the price of this machine in [prices].")
@click.option("--patience", type=click.IntRange(1), help="Stop after so many trials without a better value.")
@click.option("--target", "goal", type=float, metavar="VALUE", help="Stop when a value is as good as this.")
@click.option("--max-failures", type=click.IntRange(1), help="Stop after so many failed trials.")
@click.option("--name", default="", help="Name of the runs; by default that of the notebook.")
@click.option("--experiment", "-e", default="", shell_complete=experiment_names, help="Experiment of the runs.")
@click.option("--timeout", metavar="TIME", help="Of a notebook: longest time of a trial: 90s, 10m, 1h30m.")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME=VARIABLE",
    help="Of a notebook: parameter whose value is in an environment variable of the control plane.",
)
@click.option("--background", is_flag=True, help="Return at once with the id of the sweep.")
@click.pass_obj
def run_sweep(
    frontend: FrontEnd,
    target: str,
    texts: tuple[str, ...],
    file: str | None,
    options: tuple[str, ...],
    direction: str | None,
    minutes: float | None,
    goal: float | None,
    timeout: str | None,
    secrets: tuple[str, ...],
    experiment: str,
    parallel: int | None,
    background: bool,
    **given: Any,
) -> View:
    """Run TARGET, a notebook or a pipeline, with many values of its parameters, and wait.

    \b
    Values of a parameter:
      -p lr=0.1,0.2,0.3            alternatives; in quotes what contains a comma
      -p depth=2..8                whole numbers; 2..8..2 in steps
      -p rate=0..1..0.25           in steps; without a step any number between
      -p lr=log(1e-4..1e-1)        on a logarithmic scale; log(1e-4..1e-1, 7) seven values
      -p lr=loguniform(1e-4, 0.1)  also uniform(0, 1), randint(1, 9), normal(0, 1)
      -p seed=7                    the same for all trials

    Without --method, all combinations are run if they are finite; the last parameter changes fastest. A trial that
    fails does not stop the sweep, unless the first five all fail alike. Ctrl+C cancels the sweep; 'sweep resume'
    lets it go on. In a shell, the exit code is 0 if it succeeded, 1 if it failed or was cancelled, 2 if it cannot
    start.
    """  # noqa: D301 - the mark of click for text that is not wrapped
    values = given_parameters(texts, file)
    notebook = "" if _is_pipeline(target) else os.path.abspath(target)
    request = SweepRequest(
        notebook=notebook,
        pipeline="" if notebook else target,
        params=values.params,
        texts=values.texts,
        secrets=parse_texts(secrets, "--secret token=API_TOKEN"),
        options=parse_assignments(options),
        direction=direction or "",  # type: ignore[arg-type]
        seconds=None if minutes is None else minutes * 60,
        target=goal,
        timeout=parse_duration(timeout) if timeout is not None else None,
        experiment=experiment or frontend.experiment() or "",
        parallel=parallel or 0,
        **given,
    )
    with client_to_run(frontend) as client:
        return _followed(frontend, client, client.start_sweep(request), background=background)


@sweep.command("show")
@click.argument("sweep_id", metavar="SWEEP-ID", shell_complete=_sweep_ids)
@click.pass_obj
def show_sweep(frontend: FrontEnd, sweep_id: str) -> View:
    """Show a sweep with its trials and the importance of the parameters."""
    with frontend.client() as client:
        return _view(client.sweep(_find(client, sweep_id)), frontend.prog)


@sweep.command("best")
@click.argument("sweep_id", metavar="SWEEP-ID", shell_complete=_sweep_ids)
@click.option("--register", "model", metavar="MODEL", shell_complete=model_names, help="Register the model of its run.")
@click.option("--alias", default="", help="Alias to set, for example champion.")
@click.pass_obj
def best_of_sweep(frontend: FrontEnd, sweep_id: str, model: str | None, alias: str) -> View:
    """Show the values and the run of the best trial, and register its model on request."""
    if alias and not model:
        raise InvalidInput("an alias is for a registered model", hint="add --register MODEL")
    with frontend.client() as client:
        found = client.best_trial(_find(client, sweep_id))
        if model is not None:
            if not found.model_run:
                raise Conflict(
                    f"the run of trial {found.trial.number} has no model",
                    hint="log it in the notebook: from mlops_workbench import log_model",
                )
            return version_view(
                client.register(model, RegisterRequest(found.model_run, alias=alias)), "registered", frontend.prog
            )
    trial = found.trial
    next_step = f"{frontend.prog} sweep best {sweep_id} --register NAME"
    return View(
        f"trial {trial.number}, run {short_id(trial.run_uid)}",
        facts=[*trial.params.items(), *_metrics(trial)],
        notes=[f"next: {next_step if found.model_run else f'{frontend.prog} show {short_id(trial.run_uid)}'}"],
        data=found,
    )


@sweep.command("cancel")
@click.argument("sweep_id", metavar="SWEEP-ID", shell_complete=_sweep_ids)
@click.pass_obj
def cancel_sweep(frontend: FrontEnd, sweep_id: str) -> View:
    """End a sweep and the trials that run."""
    with frontend.client() as client:
        return _view(client.cancel_sweep(_find(client, sweep_id)), frontend.prog)


@sweep.command("resume")
@click.argument("sweep_id", metavar="SWEEP-ID", shell_complete=_sweep_ids)
@click.option("--background", is_flag=True, help="Return at once.")
@click.pass_obj
def resume_sweep(frontend: FrontEnd, sweep_id: str, background: bool) -> View:
    """Let a sweep go on that was cancelled, has failed or was killed; ended trials are not repeated."""
    with frontend.client() as client:
        return _followed(frontend, client, client.resume_sweep(_find(client, sweep_id)), background=background)


def _followed(frontend: FrontEnd, client: Client, found: Sweep, *, background: bool) -> View:
    """Wait for a sweep and show each trial that ends; an interrupt cancels it."""
    name = short_id(found.run.id)
    if background:
        view = _view(found, frontend.prog)
        view.notes = [f"next: {frontend.prog} sweep show {name}"]
        return view
    shown = {trial.number for trial in found.trials if trial.state != "running"}

    def progress(current: Sweep) -> None:
        for trial in current.trials:
            if trial.state != "running" and trial.number not in shown:
                shown.add(trial.number)
                frontend.progress(_line(trial, current))

    try:
        found = client.wait_sweep(found.run.id, progress=progress)
    except KeyboardInterrupt:
        client.cancel_sweep(found.run.id)
        frontend.progress(f"the sweep is cancelled; '{frontend.prog} sweep resume {name}' lets it go on")
        raise
    if found.run.state != "succeeded":
        raise PipelineFailed(
            f"sweep {name} {found.run.state}: {found.run.message}",
            hint=f"'{frontend.prog} sweep show {name}' shows its trials, '{frontend.prog} sweep resume {name}' goes on",
        )
    return _view(found, frontend.prog)


def _line(trial: Trial, found: Sweep) -> str:
    of = f"/{found.planned}" if found.planned else ""
    value = f", {found.metric} {number(real_number(trial.value))}" if trial.value is not None else ""
    message = f" ({trial.message})" if trial.message else ""
    return f"  trial {trial.number}{of}: {trial.state}, {_values(trial.params)}{value}{message}"


def _view(found: Sweep, prog: str) -> View:
    """A sweep with its trials, the best ones first."""
    run = found.run
    varied = list(dict.fromkeys(name for trial in found.trials for name in trial.params))
    best = next((trial for trial in found.trials if trial.number == found.best), None)
    facts = [fact for fact in run_facts(run) if fact[0] != "message"]
    facts += [("method", f"{found.method}, seed {found.seed}"), ("result", run.message or "–")]
    sections = []
    if found.importance:
        rows = [(name, share(part)) for name, part in found.importance.items()]
        sections = [
            View(
                "importance", ("parameter", "share"), rows, notes=[found.importance_note] * bool(found.importance_note)
            )
        ]
    elif found.importance_note and not run.active and found.metric:
        facts.append(("importance", found.importance_note))
    metric = (found.metric,) if found.metric else ()
    return View(
        f"sweep of {run.pipeline}, {short_id(run.id)}",
        facts=facts,
        columns=("trial", *varied, *metric, "state", "duration", "run", "message"),
        rows=[
            (
                trial.number,
                *(trial.params.get(name) for name in varied),
                *((metric_cell(trial.value),) if metric else ()),
                trial.state + (" (best)" if trial.number == found.best else ""),
                duration((trial.end_ms - trial.start_ms) / 1000) if trial.end_ms else None,
                short_id(trial.run_uid) if trial.run_uid else None,
                trial.message or None,
            )
            for trial in found.trials
        ],
        sections=sections,
        notes=[f"next: {prog} sweep best {short_id(run.id)}"] if best is not None else [],
        data=found,
    )


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={number(value) if isinstance(value, float) else value}" for name, value in values.items())


def _metrics(trial: Trial) -> Sequence[tuple[str, float | None]]:
    return [(name, metric_cell(value)) for name, value in sorted(trial.metrics.items())]


def _find(client: Client, text: str) -> str:
    return find_run([one.run for one in client.sweeps(1000)], text, "sweep").id


def _is_pipeline(target: str) -> bool:
    path = Path(target)
    return not path.suffix and len(path.parts) == 1 and not path.is_file()


COMMANDS = (sweep,)
