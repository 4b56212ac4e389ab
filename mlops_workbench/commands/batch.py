"""Files of any size, answered by a registered model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.commands.cells import Cell, counted
from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError
from mlops_workbench.core.models import model_name
from mlops_workbench.core.shown.formats import duration

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client
    from mlops_workbench.serving.scoring.request import OnError, ScoringLog, ScoringProgress, ScoringRequest

#: Of a part of the work after which a line of progress is printed.
_STEP = 0.1


@dataclass(frozen=True)
class BatchOptions:
    """Options of ``predict --batch``: see its help."""

    keep: list[str]
    on_error: OnError
    force: bool
    log: bool
    workers: int
    event_time: str


def score_batch(frontend: FrontEnd, name: str, words: list[str], options: BatchOptions) -> View:
    """Answer the rows of files with the version that endpoint NAME serves, or NAME@ALIAS, or NAME/VERSION."""
    from mlops_workbench.client.client import Client
    from mlops_workbench.serving.scoring.launch import ScoringProcess
    from mlops_workbench.serving.scoring.paths import input_paths

    output = Path(words[-1]).absolute()
    inputs = input_paths(words[:-1], output, force=options.force)
    shown = 0.0

    def report(progress: ScoringProgress) -> None:
        nonlocal shown
        if progress.share >= shown + _STEP:
            shown = progress.share
            frontend.progress(f"{progress.share:.0%}: {counted(progress.rows, 'row')}")

    def lend(socket: str) -> int:
        # A control plane that has to be started has no process to lend.
        with contextlib.suppress(WorkbenchError), Client.connect(frontend.workspace, start=False) as client:
            return client.lend_process(socket)
        return 0

    with ScoringProcess(frontend.workspace.root, lend) as process:
        request = _request(frontend, name, inputs, output, options)
        done = process.run(request, report)
    speed = f" ({done.rows / done.seconds:,.0f} rows/s)" if done.seconds > 0 else ""
    facts: list[tuple[str, Cell]] = [
        ("model", f"{request.model}/{request.version}"),
        ("runtime", f"{done.runtime}{f' ({done.uncompiled})' if done.uncompiled else ''}"),
        ("rows", f"{done.rows:,} of {counted(len(inputs), 'file')}"),
        ("time", f"{duration(done.seconds)}{speed}, {done.workers} process{'' if done.workers == 1 else 'es'}"),
    ]
    notes = [f"written to {words[-1]}"]
    if not done.is_row_wise:
        notes.append("the model answers rows in dependence on others that are asked with them: so do these answers")
    if done.dropped:
        notes.append(f"{counted(done.dropped, 'row')} could not be logged")
    sections = []
    if done.refused:
        facts.append(("without an answer", f"{done.refused:,}; the column 'error' says why"))
        rows = [(Path(one.file).name, str(one.row), one.reason) for one in done.examples]
        sections.append(View("first rows without an answer", columns=("file", "row", "reason"), rows=rows))
    return View(f"{counted(done.rows, 'row')} scored", facts=facts, notes=notes, sections=sections, data=done)


def _request(
    frontend: FrontEnd, name: str, inputs: Sequence[Path], output: Path, options: BatchOptions
) -> ScoringRequest:
    from mlops_workbench.serving.scoring.request import ScoringRequest

    with frontend.client() as client:
        reference, endpoint = _reference(client, name)
        local = client.local_model(reference)
    if options.log and not endpoint:
        raise InvalidInput(
            f"'{name}' is no endpoint, and only endpoints have a log", hint="leave out --log, or name an endpoint"
        )
    return ScoringRequest(
        model=local.name,
        version=local.version,
        folder=local.folder,
        # Read anew: a notebook has the settings of its start.
        settings=frontend.workspace.latest().serving,
        inputs=[str(path) for path in inputs],
        output=str(output),
        keep=options.keep,
        on_error=options.on_error,
        workers=options.workers,
        modules=[entry for entry in sys.path if entry],
        log=_log(frontend, endpoint) if options.log else None,
        event_time=options.event_time,
    )


def _reference(client: Client, name: str) -> tuple[str, str]:
    """The version that is meant, and the endpoint of this name; empty for none."""
    if "@" in name or "/" in name:
        return name, ""
    try:
        endpoint = client.endpoint(name)
    except NotFound:
        if any(model.name == name for model in client.models()):
            return f"{name}@champion", ""
        raise NotFound(
            f"there is no endpoint '{name}'",
            hint="'mlops endpoints' and 'mlops models' list what there is; a model is named NAME@ALIAS or NAME/VERSION",
        ) from None
    return f"{model_name(endpoint.model)}/{endpoint.version or endpoint.wanted_version}", name


def _log(frontend: FrontEnd, endpoint: str) -> ScoringLog:
    from mlops_workbench.serving.scoring.request import ScoringLog

    workspace = frontend.workspace
    data = workspace.latest().data
    return ScoringLog(
        str(workspace.predictions / f"endpoint={endpoint}"),
        data.personal,
        data.personal_in_log,
        str(workspace.log_key),
    )
