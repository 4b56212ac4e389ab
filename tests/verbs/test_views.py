"""Views: the same answer as text, as static HTML and as a DataFrame."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.models import ModelVersion, SignatureColumn
from mlops_workbench.core.runs import Run, RunDetail
from mlops_workbench.verbs.comparison import compare_view, newest_of_each_name
from mlops_workbench.verbs.formats import duration, number
from mlops_workbench.verbs.models import version_view
from mlops_workbench.verbs.runs import run_view
from mlops_workbench.verbs.view import View


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (11.2345, "11.23"), (1234.5, "1,234"), (0.012345, "0.01235"), (1e-9, "1.000e-09"),
     (7, "7"), (-0.5, "-0.5000"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats())
def test_any_number_can_be_shown(value: float) -> None:
    assert number(value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (7800, "2 h 10 min"), (None, "–")]
)
def test_durations_read_naturally(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def view() -> View:
    return View(
        "runs of <b>x</b>",
        columns=("run", "mae"),
        rows=[("[red]boosted[/red]", 11.25), ("<script>alert(1)</script>", None)],
        facts=[("name", "ü & ö")],
        notes=["next: do"],
        sections=[View("inner", ("a",), [(1,)])],
    )


def test_text_has_everything_and_interprets_nothing() -> None:
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


def test_a_version_that_no_endpoint_can_serve_says_so_at_once() -> None:
    version = ModelVersion("wine", 1, "u", "r", ["champion"], 0)
    assert "cannot be deployed" in version_view(version, "registered").text()
    typed = replace(version, inputs=[SignatureColumn("a", "double")])
    assert "next: %mlops deploy wine@champion" in version_view(typed, "registered").text()


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
    assert list(found.rows[2]) == ["mae", "2.000", "–"]
    assert found.notes == ["the same in all: seed=1"]
    assert found.figure is not None
    figure = found.figure()
    assert [d["label"] for d in figure.data[0]["dimensions"]] == ["run", "depth", "mae"]


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
    assert "no room for parameter_3, parameter_4" in text
    assert max(map(len, text.splitlines())) <= 40
    assert "no room" not in wide.text(width=400)


def test_the_newest_run_of_each_name_is_compared() -> None:
    newest = run("a", {"n": "2"}, {})
    assert newest_of_each_name([newest, run("b", {}, {}), run("a", {"n": "1"}, {})])[0] is newest
