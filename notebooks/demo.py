"""The whole life cycle on a year of real flights, without a browser: ``make demo``.

From a notebook to a monitored endpoint whose alert retrains the model, with the tools of a user: the notebook, the
command ``mlops``, the client and HTTP. All state is in ``build/demo``, which is created again each time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import nbclient
import nbformat
import pandas as pd
from rich.console import Console
from rich.table import Table

from mlops_workbench.client.client import Client
from mlops_workbench.client.prediction import tensors
from mlops_workbench.client.bodies import RegisterRequest
from mlops_workbench.core.monitors import MonitorReport, MonitorSpec, Window
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace

HERE = Path(__file__).resolve().parent
HOME = HERE.parent / "build" / "demo"
MODEL = "flight-delays"
FIRST_MONTH, LAST_MONTH = 4, 12
CHUNK = 2000

console = Console(highlight=False, width=120 if not sys.stdout.isatty() else None)


class Demo:
    """The steps of the demo and their results."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, str]] = []
        self.workspace = Workspace.open(HOME)
        self.client: Client | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str, str], None]]:
        """Print the title of a step; record its time, its result and the command that shows it."""
        number = len(self.rows) + 1
        console.print(f"\n[bold]{number}. {title}[/bold]")
        started = time.monotonic()
        results: list[tuple[str, str]] = []
        yield lambda result, command: results.append((result, command))
        seconds = time.monotonic() - started
        result, command = results[-1]
        self.rows.append((title, result, seconds, command))
        console.print(f"   [green]{result}[/green] [dim]({seconds:.1f} s)[/dim]")

    def connected(self) -> Client:
        """Return the client, connected on first use."""
        if self.client is None:
            self.client = Client.connect(self.workspace)
        return self.client

    # -- steps -----------------------------------------------------------------------------------------

    def notebook(self) -> None:
        """Execute the example notebook in a real kernel."""
        with self.step("track three models in a notebook") as done:
            path = HOME / "flight_delays.ipynb"
            document = nbformat.read(path, as_version=4)
            cells = [cell for cell in document.cells if cell.cell_type == "code"]

            def announce(cell: nbformat.NotebookNode, cell_index: int) -> None:
                if cell.cell_type == "code" and cell.source.startswith("%%track"):
                    console.print(f"   {cell.source.splitlines()[0]}")

            runner = nbclient.NotebookClient(
                document, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HOME)}},
                on_cell_execute=announce,
            )  # fmt: skip
            try:
                runner.execute()
            finally:
                nbformat.write(document, path)
            runs = self.connected().runs(MODEL, kind="run")
            best = min(runs, key=lambda run: _metric(run.metrics))
            for run in runs:
                console.print(f"   {run.name:<10} mae {_metric(run.metrics):6.2f} min   {run.seconds or 0:5.1f} s")
            done(
                f"{len(cells)} cells, {len(runs)} runs; best is '{best.name}' with mae {_metric(best.metrics):.2f} min",
                "mlops runs; mlops compare",
            )

    def pipeline(self) -> None:
        """Run the notebook pipeline through papermill."""
        with self.step("run the pipeline prepare -> train -> evaluate") as done:
            run = self.connected().start_pipeline(MODEL)
            run = self._wait_pipeline(run)
            done(f"{run.state}, published {run.published or 'nothing'}", "mlops pipeline show flight-delays")

    def register(self) -> None:
        """Register the best run behind a gate."""
        with self.step("register the best run behind a gate") as done:
            client = self.connected()
            runs = [run for run in client.runs(MODEL, kind="run") if client.run(run.uid).models]
            best = min(runs, key=lambda run: _metric(run.metrics))
            request = RegisterRequest(
                best.uid, gate=["mae < baseline.mae", "mae < 15"], alias="champion", baseline="baseline",
                experiment=MODEL,
            )  # fmt: skip
            version = client.register(MODEL, request)
            for check in version.gate.checks if version.gate else []:
                console.print(f"   gate: {check.condition}: {'holds' if check.passed else 'fails'} ({check.detail})")
            aliases = ", ".join(version.aliases)
            done(f"{version.name}/{version.version} from run '{best.name}' is {aliases}", f"mlops models {MODEL}")

    def deploy(self) -> None:
        """Deploy the champion."""
        with self.step("deploy flight-delays@champion") as done:
            _mlops("deploy", f"{MODEL}@champion")
            endpoint = self.connected().endpoint(MODEL)
            self.connected().put_monitor(
                MonitorSpec(
                    MODEL,
                    window="month",
                    metric="mae",
                    pipeline=MODEL,
                    params={"since": "{start}", "until": "{end}"},
                    enabled=False,
                )
            )
            done(f"version {endpoint.version} serves at {endpoint.url}", f"mlops endpoints {MODEL}")

    def serve_and_watch(self) -> None:
        """Send the flights of the rest of the year, month by month, and retrain when an alert starts the pipeline."""
        with self.step("serve April to December, monitor, retrain after an alert") as done:
            client = self.connected()
            sent = failed = 0
            switched = ""
            for month in range(FIRST_MONTH, LAST_MONTH + 1):
                flights = _month(month)
                rows, bad = self._serve(flights)
                sent, failed = sent + rows, failed + bad
                report = self._evaluate_when_logged(sent)
                console.print(_window_line(report.windows[-1]))
                alerts = [alert for alert in report.alerts if alert.pipeline_run]
                if alerts and not switched:
                    alert = alerts[-1]
                    console.print(f"   [yellow]alert ({alert.kind}): {alert.message}[/yellow]")
                    rows, bad, switched = self._retrain_under_load(alert.pipeline_run, flights)
                    sent, failed = sent + rows, failed + bad
            report = client.evaluate_monitor(MODEL)
            if not switched:
                raise SystemExit("no alert started the pipeline: the demo failed")
            done(
                f"{sent:,} flights answered, {failed} failed; {len(report.alerts)} alert(s); {switched}",
                f"mlops monitor {MODEL}; mlops alerts",
            )

    def rollback(self) -> None:
        """Roll back to the previous version, and bring the one that was left back, with one command each."""
        with self.step("roll back and forward again") as done:
            before = self.connected().endpoint(MODEL).version
            started = time.monotonic()
            _mlops("rollback", MODEL, "--reason", "to see how it is done")
            back = self.connected().endpoint(MODEL).version
            seconds = time.monotonic() - started
            # A further rollback would lead back in time: the version that was left is in quarantine.
            _mlops("promote", f"{MODEL}/{before}", "--release-quarantine", "it was good")
            now = self.connected().wait_endpoint(MODEL, before).version
            if back == before or now != before:
                raise SystemExit(f"rollback moved from version {before} to {back} and then to {now}")
            done(
                f"version {before} -> {back} in {seconds:.1f} s (the whole command), then {now} again",
                f"mlops releases {MODEL}",
            )

    def finish(self, *, keep: bool) -> None:
        """Stop all processes unless `keep` is set, and print the table of results."""
        if keep:
            url = self.connected().endpoint(MODEL).url
            console.print(f"\nThe endpoint still runs at {url}; stop it with: cd {_short(HOME)} && mlops down")
        else:
            _mlops("down")
        table = Table(title="Results", title_justify="left", show_edge=False, pad_edge=False)
        for column, justify in (("step", "left"), ("result", "left"), ("time", "right"), ("show it with", "left")):
            table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for title, result, seconds, command in self.rows:
            table.add_row(title, result, f"{seconds:.1f} s", command)
        console.print()
        console.print(table)
        total = sum(seconds for _, _, seconds, _ in self.rows)
        console.print(
            f"\n{total:.0f} s in total. To explore: [bold]cd {_short(HOME)}[/bold] and the commands above "
            f"(mlops is in .venv/bin), or [bold]make lab DIR={_short(HOME)}[/bold]."
        )

    # -- traffic ---------------------------------------------------------------------------------------

    def _serve(self, flights: pd.DataFrame) -> tuple[int, int]:
        """Send flights day by day, and their true delays as feedback; return rows answered and rows failed."""
        url = self.connected().endpoint(MODEL).url
        sent = failed = 0
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            # Days in local time, so that the months are those of the monitor.
            for day, part in flights.groupby(flights["event_time"].dt.tz_convert("America/New_York").dt.date):
                for start in range(0, len(part), CHUNK):
                    chunk = part.iloc[start : start + CHUNK]
                    request = str(chunk["flight_id"].iloc[0]) + f"-{time.time_ns()}"
                    answered = _infer(http, chunk, request, f"{day}T12:00:00Z")
                    sent, failed = (sent + len(chunk), failed) if answered else (sent, failed + len(chunk))
                    if answered:
                        _feed_back(http, chunk, request)
        return sent, failed

    def _evaluate_when_logged(self, rows: int) -> MonitorReport:
        # The endpoint writes its log with a delay; an earlier evaluation would miss a part of the month.
        time.sleep(self.workspace.settings.serving.log_seconds + 0.5)
        deadline = time.monotonic() + 60
        while True:
            report = self.connected().evaluate_monitor(MODEL)
            if sum(window.rows for window in report.windows) >= rows or time.monotonic() > deadline:
                return report
            time.sleep(0.5)

    def _retrain_under_load(self, pipeline_run: str, flights: pd.DataFrame) -> tuple[int, int, str]:
        """Send requests while the pipeline trains and the endpoint switches; return rows, failed rows and result."""
        client = self.connected()
        before = client.endpoint(MODEL)
        stop = threading.Event()
        counts = {"rows": 0, "failed": 0}
        sample = flights.tail(20)
        when = f"{flights['event_time'].dt.tz_convert('America/New_York').iloc[-1].date()}T12:00:00Z"

        def send() -> None:
            with httpx.Client(base_url=before.url, timeout=60, trust_env=False) as http:
                while not stop.is_set():
                    request = f"load-{time.time_ns()}"
                    counts["rows" if _infer(http, sample, request, when) else "failed"] += len(sample)
                    time.sleep(0.05)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            run = self._wait_pipeline(client.pipeline_run(pipeline_run))
            number = int(run.published.split("/")[1]) if run.published and not run.message else before.version
            after = client.wait_endpoint(MODEL, number)
        finally:
            stop.set()
            sender.join()
        console.print(
            f"   endpoint: version {before.version} -> {after.version}; meanwhile {counts['rows']:,} rows answered, "
            f"{counts['failed']} failed"
        )
        result = f"retrained, version {before.version} -> {after.version}"
        if after.version == before.version:
            result = f"retrained, version {before.version} kept: {run.message}"
        return counts["rows"], counts["failed"], result

    def _wait_pipeline(self, run: PipelineRun) -> PipelineRun:
        shown: dict[str, str] = {}

        def progress(now: PipelineRun) -> None:
            for stage in now.stages:
                if stage.state != shown.get(stage.name) and stage.state in ("succeeded", "failed", "skipped"):
                    shown[stage.name] = stage.state
                    seconds = (stage.end_ms - stage.start_ms) / 1000
                    console.print(f"   {stage.name}: {stage.state} ({seconds:.1f} s) {stage.message}")

        run = self.connected().wait_pipeline(run.id, timeout=600, progress=progress)
        if run.message:
            console.print(f"   {run.message}")
        if run.state != "succeeded":
            raise SystemExit(f"the pipeline {run.state}: {run.message}")
        return run


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="leave the endpoint and the control plane running")
    keep = parser.parse_args().keep
    _fresh_home()
    os.chdir(HOME)
    sys.path.insert(0, str(HOME))
    demo = Demo()
    try:
        demo.notebook()
        demo.pipeline()
        demo.register()
        demo.deploy()
        demo.serve_and_watch()
        demo.rollback()
    except BaseException:
        # No process may be left behind after an error.
        _mlops("down")
        raise
    demo.finish(keep=keep)


def _fresh_home() -> None:
    if (HOME / "workbench.toml").exists():
        # Processes of an earlier demo may still run.
        subprocess.run([_executable(), "down"], cwd=HOME, check=False, capture_output=True)
    shutil.rmtree(HOME, ignore_errors=True)
    ignored = shutil.ignore_patterns(".mlops", ".ipynb_checkpoints", "__pycache__", "demo.py")
    shutil.copytree(HERE, HOME, ignore=ignored)


def _month(month: int) -> pd.DataFrame:
    # From the copy in the folder of the demo, as in the notebooks.
    from flights import load

    return load([month])


def _infer(http: httpx.Client, flights: pd.DataFrame, request: str, when: str) -> bool:
    from flights import FEATURES

    body = {"id": request, "inputs": tensors(flights[FEATURES]), "parameters": {"event_time": when}}
    try:
        response = http.post(f"/v2/models/{MODEL}/infer", content=msgspec.json.encode(body))
    except httpx.TransportError as error:
        console.print(f"   [red]{error}[/red]")
        return False
    if not response.is_success:
        console.print(f"   [red]{response.status_code} {response.text[:200]}[/red]")
    return response.is_success


def _feed_back(http: httpx.Client, flights: pd.DataFrame, request: str) -> None:
    from flights import TARGET

    body = {"request_id": request, "row": list(range(len(flights))), "label": flights[TARGET].tolist()}
    http.post(f"/v2/models/{MODEL}/feedback", content=msgspec.json.encode(body)).raise_for_status()


def _window_line(window: Window) -> str:
    drifted = [feature.name for feature in window.features if feature.drifted]
    quality = (
        f"mae {window.quality:5.2f} (training {window.reference_quality:.2f})" if window.quality else "no feedback"
    )
    marks = ("degraded " if window.degraded else "") + (
        f"drift: {', '.join(drifted[:3])}{' ...' if len(drifted) > 3 else ''}" if drifted else ""
    )
    versions = ", ".join(map(str, window.versions))
    return f"   {window.label}: {window.rows:6,} flights by version {versions}, {quality}  {marks}"


def _metric(metrics: dict[str, float | None]) -> float:
    value = metrics.get("mae")
    return float("inf") if value is None else value


def _mlops(*words: str) -> None:
    """Run the command as a user would."""
    done = subprocess.run([_executable(), *words], cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mlops {' '.join(words)}: {done.stderr.strip()}")
    console.print(f"   $ mlops {' '.join(words)}: {done.stdout.splitlines()[0] if done.stdout else ''}")


def _executable() -> str:
    return str(Path(sys.executable).with_name("mlops"))


def _short(path: Path) -> str:
    return str(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
