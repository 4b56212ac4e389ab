"""Views: the same answer as text, as static HTML and as a DataFrame."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from mlops_workbench.client.runs import order_of
from mlops_workbench.commands.models import version_view
from mlops_workbench.commands.runs.choice import newest_of_each_name
from mlops_workbench.commands.runs.comparison import compare_view
from mlops_workbench.commands.runs.page import run_view
from mlops_workbench.commands.runs.table import runs_view
from mlops_workbench.commands.view import View
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.runs import MetricPoint, Run, RunCell, RunDataset, RunDetail


def view() -> View:
    return View(
        "runs of <b>x</b>",
        columns=("run", "mae"),
        rows=[("[red]boosted[/red]", 11.25), ("<script>alert(1)</script>", None)],
        facts=[("name", "ü & ö")],
        notes=["next: do"],
        sections=[View("inner", ("a",), [(1,)])],
    )


def test_text_contains_everything_literally() -> None:
    text = view().text()
    for part in ("runs of <b>x</b>", "[red]boosted[/red]", "11.25", "ü & ö", "next: do", "inner"):
        assert part in text
    assert "\x1b" not in text


def test_html_is_static_and_escaped() -> None:
    html = view().html()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "ü &amp; ö" in html
    assert "<b>x</b>" not in html


def test_a_failed_run_is_shown_with_its_code_output_and_traceback() -> None:
    failed = Run("u", "", "e", "boom", "run", "FAILED", 0, 1, error="ZeroDivisionError: division by zero")
    detail = RunDetail(
        failed, source="x = 1 / 0\n", output="\x1b[31mhalf <b way\x1b[0m\n", traceback="Traceback\n  line 1"
    )
    shown = run_view(detail)
    text, html = shown.text(), shown.html()
    for part in ("x = 1 / 0", "half <b way", "Traceback\n  line 1"):
        assert part in text
        assert part.replace("<", "&lt;") in html
    assert "\x1b" not in text + html
    assert "traceback" not in run_view(RunDetail(failed, source="x")).text()


def test_registering_a_version_that_cannot_be_deployed_shows_that() -> None:
    version = ModelVersion("wine", 1, "u", "r", ["champion"], 0)
    assert "next: mlops deploy wine@champion" in version_view(version, "registered", "mlops").text()
    lacking = replace(version, problem="its training data was not recorded")
    shown = version_view(lacking, "registered", "mlops").text()
    assert "it cannot be deployed: its training data was not recorded" in shown and "next:" not in shown
    untrusted = version_view(replace(version, untrusted=["a.B", "c.D"]), "registered", "%mlops").text()
    assert "%mlops trust a.B c.D" in untrusted


def test_a_notebook_gets_both_and_a_program_a_frame() -> None:
    bundle = view()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    frame = view().frame()
    assert frame.shape == (2, 2)
    assert list(frame.columns) == ["run", "mae"]


def run(name: str, params: dict[str, str], metrics: dict[str, float | None]) -> Run:
    return Run(name, "", "e", name, "run", "FINISHED", 1000, 2000, params=params, metrics=metrics)


def test_a_comparison_shows_what_differs_and_names_what_does_not() -> None:
    runs = [run("a", {"depth": "3", "seed": "1"}, {"mae": 2.0}), run("b", {"depth": "6", "seed": "1"}, {"mae": None})]
    found = compare_view(runs)
    assert list(found.columns) == ["run", "a", "b"]
    assert [row[0] for row in found.rows] == ["status", "duration", "mae", "depth"]
    assert list(found.rows[2]) == ["mae", "2", "–"]
    assert found.notes == ["the same in all: seed=1"]
    assert [plot.title for plot in found.plots] == ["parallel coordinates"]
    figure = found.plots[0].make()
    assert [d["label"] for d in figure.data[0]["dimensions"]] == ["run", "depth", "mae"]


def test_the_best_run_is_named_in_the_direction_of_the_metric() -> None:
    runs = [run("a", {}, {"mae": 2.0, "auc": 0.7, "x": 1}), run("b", {}, {"mae": 3.0, "auc": 0.9, "x": 2})]
    assert compare_view(runs).notes[0] == "best: mae 2 by a, auc 0.9 by b"


def test_a_metric_is_drawn_against_the_parameter_that_varies_most() -> None:
    runs = [run(str(n), {"depth": str(n), "kind": "ab"[n % 2], "seed": "1"}, {"mae": 9.0 - n}) for n in range(4)]
    _, points = compare_view(runs).plots
    assert points.title == "mae by depth"
    [trace] = points.make().data
    assert list(trace.x) == [0, 1, 2, 3] and list(trace.y) == [9, 8, 7, 6]


def test_learning_curves_of_runs_share_a_figure() -> None:
    def detail(name: str, values: list[float | None]) -> RunDetail:
        points = [MetricPoint(step, 0, value) for step, value in enumerate(values)]
        return RunDetail(run(name, {}, {"loss": values[-1], "acc": 1.0}), history={"loss": points, "acc": points[:1]})

    details = [detail("a", [3.0, 2.0, 1.0]), detail("b", [4.0, None, 2.0])]
    curves = compare_view([d.run for d in details], details).plots[-1]
    assert curves.title == "learning curves"
    figure = curves.make()
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [("a", [3, 2, 1]), ("b", [4, None, 2])]
    json.dumps(figure.to_plotly_json(), default=str)


def test_a_comparison_shows_what_was_changed_in_the_code() -> None:
    details = [
        RunDetail(run("b", {}, {}), source="depth = 6\nfit(depth) # <b>"),
        RunDetail(run("a", {}, {}), source="depth = 3\nfit(depth) # <b>"),
    ]
    view = compare_view([d.run for d in details], details)
    text, html = view.text(), view.html()
    assert "-depth = 3\n+depth = 6" in text
    assert "#3a9d40" in html and "&lt;b&gt;" in html and "# <b>" not in html
    assert not compare_view([details[0].run] * 2, [details[0]] * 2).sections


def test_runs_are_a_data_frame_with_the_columns_of_mlflow() -> None:
    runs = [run("a", {"depth": "3"}, {"mae": 2.0}), replace(run("b", {}, {"mae": None}), end_ms=0, status="RUNNING")]
    frame = runs_view(runs, "runs").frame()
    assert {"run_id", "run_name", "status", "start_time", "end_time", "metrics.mae", "params.depth"} <= set(
        frame.columns
    )
    assert str(frame["start_time"].dt.tz) == "UTC" and frame["end_time"].isna().tolist() == [False, True]
    assert frame["metrics.mae"].dtype == "float64" and math.isnan(frame["metrics.mae"][1])
    assert frame["params.depth"][0] == "3" and frame["duration"][0] == 1.0
    assert runs_view([], "runs").frame().shape[0] == 0


def test_columns_are_chosen_by_name() -> None:
    runs = [run("a", {"depth": "3"}, {"mae": 2.0, "auc": 0.5})]
    view = runs_view(runs, "runs", ["name", "params.depth", "auc", "metric.mae"])
    assert list(view.columns) == ["run", "params.depth", "auc", "mae"]
    assert [list(row) for row in view.rows] == [["a", "3", 0.5, 2.0]]
    with pytest.raises(InvalidInput, match="none of these runs has 'rmse'") as raised:
        runs_view(runs, "runs", ["rmse"])
    assert raised.value.hint
    assert "no run matches" in runs_view([], "runs", ["rmse"], filtered=True).text()


@pytest.mark.parametrize(
    ("order", "expected"),
    [("start", ("start", True)), ("metrics.auc", ("metrics.auc", True)), ("metrics.mae", ("metrics.mae", False)),
     ("metrics.mae DESC", ("metrics.mae", True)), ("metrics.test mae", ("metrics.test mae", False)),
     ("name asc", ("name", False)), ("name", ("name", False))],
)  # fmt: skip
def test_the_best_run_comes_first_by_default(order: str, expected: tuple[str, bool]) -> None:
    assert order_of(order) == expected


def test_parameters_that_differ_from_the_default_come_first() -> None:
    text = run_view(RunDetail(run("a", {"alpha": "5", "zeta": "1", "copy_X": "True"}, {}), defaults=["copy_X"])).text()
    places = [text.index(word) for word in ("alpha", "zeta", "with default values", "copy_X")]
    assert places == sorted(places)


def test_the_environment_of_a_run_is_shown_without_its_unreadable_parts() -> None:
    document = {
        "python": {"version": "3.11.9", "implementation": "CPython"},
        "machine": {
            "platform": "Linux-6",
            "processor": "Ärm",
            "usable_processors": 2,
            "memory_bytes": 8 << 30,
            "gpus": [],
        },
        "git": {"commit": "ab" * 20, "branch": "main", "dirty": True, "remote": "https://host/<repo>"},
        "packages": {"installed": {"numpy": "2.1", "other": "1"}, "imported": ["numpy"]},
    }
    detail = RunDetail(run("a", {}, {}))
    text = run_view(detail, json.dumps(document).encode()).text()
    for part in (
        "git abababababab on main, with uncommitted changes",
        "CPython 3.11.9",
        "8 GiB",
        "numpy 2.1",
        "of 2 packages",
    ):
        assert part in text
    for odd in (b"[]", b"{", b'{"git": 1, "machine": null, "packages": {"imported": ["x"], "installed": []}}'):
        assert "run a" in run_view(detail, odd).text()


def test_a_page_of_a_run_shows_curves_data_and_warnings() -> None:
    shown = run_view(
        RunDetail(
            run("a", {"depth": "3"}, {"loss": 0.5, "system/memory_megabytes": 812.0}),
            history={"loss": [MetricPoint(step, 0, 1 / (step + 1)) for step in range(5)]},
            datasets=[RunDataset("X", "training", "ab" * 16, 10, 2, "sampled")],
            warnings=["cell 3 was edited since <it ran>"],
            cells=[RunCell(str(n), n, "", f"x{n} = 1", "ok", 0, 0.1, [], [f"x{n}"]) for n in (1, 2)],
        )
    )
    text, html = shown.text(), shown.html()
    for part in ("█▃▂▁▁", "a sample", "cell 3 was edited", "In[2]", "memory_megabytes", "warnings"):
        assert part in text
    assert "<polyline" in html and "&lt;it ran&gt;" in html and "<script" not in html


def test_many_runs_are_rows() -> None:
    runs = [run(str(n), {"depth": str(n)}, {"mae": float(n)}) for n in range(9)]
    found = compare_view(runs)
    assert list(found.columns) == ["run", "status", "duration", "mae", "depth"]
    assert len(found.rows) == 9


def test_many_runs_show_what_most_of_them_have() -> None:
    runs = [run(str(n), {f"only{n}": "1", "depth": str(n)}, {f"m{n}": 1.0, "mae": float(n)}) for n in range(20)]
    columns = list(compare_view(runs).columns)
    assert columns[3] == "mae" and "depth" in columns and len(columns) == 3 + 6 + 8


def test_a_narrow_terminal_drops_columns_and_names_them() -> None:
    wide = View("t", columns=[f"parameter_{n}" for n in range(9)], rows=[["a rather long value"] * 9])
    text = wide.text(width=40)
    assert "not shown: parameter_3, parameter_4" in text
    assert max(map(len, text.splitlines())) <= 40
    assert "not shown" not in wide.text(width=400)


def test_the_newest_run_of_each_name_is_compared() -> None:
    newest = run("a", {"n": "2"}, {})
    assert newest_of_each_name([newest, run("b", {}, {}), run("a", {"n": "1"}, {})])[0] is newest
