"""The whole loop on a year of real flights, headless: ``make demo``.

From a notebook to a watched endpoint that retrains itself. Everything is done with what a user has: the
notebook, the command ``mlops``, the client and plain HTTP. State goes to ``build/demo``, which is made anew
each time; nothing outside of it is touched.
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
    """The steps of the demo, and what each of them brought."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, str]] = []
        self.workspace = Workspace.open(HOME)
        self.client: Client | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str, str], None]]:
        """Announce a step and note what came out and how to look at it."""
        number = len(self.rows) + 1
        console.print(f"\n[bold]{number}. {title}[/bold]")
        started = time.monotonic()
        outcome: list[tuple[str, str]] = []
        yield lambda result, look: outcome.append((result, look))
        seconds = time.monotonic() - started
        result, look = outcome[-1]
        self.rows.append((title, result, seconds, look))
        console.print(f"   [green]{result}[/green] [dim]({seconds:.1f} s)[/dim]")

    def connected(self) -> Client:
        """The client, connected on first use."""
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
                f"{len(cells)} cells, {len(runs)} runs; best is '{best.name}', off by {_metric(best.metrics):.2f} min",
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
            done(f"version {endpoint.version} answers at {endpoint.url}", f"mlops endpoints {MODEL}")

    def serve_and_watch(self) -> None:
        """Send the rest of the year, month by month, and do what the alert asks for."""
        with self.step("serve April to December, watch, retrain on the alert") as done:
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
                raise SystemExit("the year brought no alert that starts the pipeline: the demo has not shown its point")
            done(
                f"{sent:,} flights answered, {failed} failed; {len(report.alerts)} alert(s); {switched}",
                f"mlops monitor {MODEL}; mlops alerts",
            )

    def rollback(self) -> None:
        """Show that the previous version is one command away."""
        with self.step("roll back, and forward again") as done:
            before = self.connected().endpoint(MODEL).version
            started = time.monotonic()
            _mlops("rollback", MODEL)
            back = self.connected().endpoint(MODEL).version
            seconds = time.monotonic() - started
            _mlops("rollback", MODEL)
            now = self.connected().endpoint(MODEL).version
            if back == before or now != before:
                raise SystemExit(f"rollback went from version {before} to {back} and to {now}")
            done(
                f"version {before} -> {back} in {seconds:.1f} s (the whole command), then {now} again",
                f"mlops rollback {MODEL}",
            )

    def finish(self, *, keep: bool) -> None:
        """Stop what runs, show the table."""
        if keep:
            url = self.connected().endpoint(MODEL).url
            console.print(f"\nThe endpoint stays up at {url}; stop it with: cd {_short(HOME)} && mlops down")
        else:
            _mlops("down")
        table = Table(title="The loop, once around", title_justify="left", show_edge=False, pad_edge=False)
        for column, justify in (("step", "left"), ("what came out", "left"), ("took", "right"), ("look at it", "left")):
            table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for title, result, seconds, look in self.rows:
            table.add_row(title, result, f"{seconds:.1f} s", look)
        console.print()
        console.print(table)
        total = sum(seconds for _, _, seconds, _ in self.rows)
        console.print(
            f"\n{total:.0f} s in all. Look around: [bold]cd {_short(HOME)}[/bold] and any of the commands above "
            f"(mlops is in .venv/bin), or [bold]make lab DIR={_short(HOME)}[/bold]."
        )

    # -- traffic ---------------------------------------------------------------------------------------

    def _serve(self, flights: pd.DataFrame) -> tuple[int, int]:
        """Send flights a day at a time and feed the true delays back: (rows answered, rows refused)."""
        url = self.connected().endpoint(MODEL).url
        sent = failed = 0
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            # The airport's day, so that a month of flights is a month of the monitor.
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
        # The endpoint writes its log every other second; an evaluation before that would see a part of the month.
        time.sleep(self.workspace.settings.serving.log_seconds + 0.5)
        deadline = time.monotonic() + 60
        while True:
            report = self.connected().evaluate_monitor(MODEL)
            if sum(window.rows for window in report.windows) >= rows or time.monotonic() > deadline:
                return report
            time.sleep(0.5)

    def _retrain_under_load(self, pipeline_run: str, flights: pd.DataFrame) -> tuple[int, int, str]:
        """Keep asking while the pipeline trains and the endpoint switches: (rows, failures, what happened)."""
        client = self.connected()
        before = client.endpoint(MODEL)
        over = threading.Event()
        counts = {"rows": 0, "failed": 0}
        sample = flights.tail(20)
        when = f"{flights['event_time'].dt.tz_convert('America/New_York').iloc[-1].date()}T12:00:00Z"

        def ask() -> None:
            with httpx.Client(base_url=before.url, timeout=60, trust_env=False) as http:
                while not over.is_set():
                    request = f"load-{time.time_ns()}"
                    counts["rows" if _infer(http, sample, request, when) else "failed"] += len(sample)
                    time.sleep(0.05)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            run = self._wait_pipeline(client.pipeline_run(pipeline_run))
            number = int(run.published.split("/")[1]) if run.published and not run.message else before.version
            after = client.wait_endpoint(MODEL, number)
        finally:
            over.set()
            asking.join()
        console.print(
            f"   endpoint: version {before.version} -> {after.version}; meanwhile {counts['rows']:,} rows answered, "
            f"{counts['failed']} failed"
        )
        outcome = f"retrained, version {before.version} -> {after.version}"
        if after.version == before.version:
            outcome = f"retrained, version {before.version} stayed: {run.message}"
        return counts["rows"], counts["failed"], outcome

    def _wait_pipeline(self, run: PipelineRun) -> PipelineRun:
        shown: dict[str, str] = {}

        def progress(now: PipelineRun) -> None:
            for stage in now.stages:
                if stage.state != shown.get(stage.name) and stage.state in ("succeeded", "failed", "skipped"):
                    shown[stage.name] = stage.state
                    took = (stage.end_ms - stage.start_ms) / 1000
                    console.print(f"   {stage.name}: {stage.state} ({took:.1f} s) {stage.message}")

        run = self.connected().wait_pipeline(run.id, timeout=600, progress=progress)
        if run.message:
            console.print(f"   {run.message}")
        if run.state != "succeeded":
            raise SystemExit(f"the pipeline {run.state}: {run.message}")
        return run


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="leave the endpoint and the control plane up")
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
        # Whatever went wrong, no process is left behind.
        _mlops("down")
        raise
    demo.finish(keep=keep)


def _fresh_home() -> None:
    if (HOME / "workbench.toml").exists():
        # A demo that was kept, or cut off, may still have processes.
        subprocess.run([_executable(), "down"], cwd=HOME, check=False, capture_output=True)
    shutil.rmtree(HOME, ignore_errors=True)
    ignored = shutil.ignore_patterns(".mlops", ".ipynb_checkpoints", "__pycache__", "demo.py")
    shutil.copytree(HERE, HOME, ignore=ignored)


def _month(month: int) -> pd.DataFrame:
    # Imported from the demo's own copy, as the notebooks do.
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
    moved = [feature.name for feature in window.features if feature.drifted]
    quality = f"mae {window.quality:5.2f} (training {window.reference_quality:.2f})" if window.quality else "no truth"
    marks = ("degraded " if window.degraded else "") + (
        f"drift: {', '.join(moved[:3])}{' ...' if len(moved) > 3 else ''}" if moved else ""
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
