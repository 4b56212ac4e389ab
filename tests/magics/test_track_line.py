"""The line after ``%%track``, and the transformation of the cell."""

from __future__ import annotations

import ast

import pytest

from mlops_workbench.magics.track import BadOptions, TrackOptions, parse_track_line, transform_track


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", TrackOptions()),
        ("boosted", TrackOptions("boosted")),
        ('"zwei Wörter"', TrackOptions("zwei Wörter")),
        ("a --nested", TrackOptions("a", nested=True)),
        ("--tag team=ops a --tag=x=y=z", TrackOptions("a", tags={"team": "ops", "x": "y=z"})),
        (
            '--param k=3 --param rate=1e-3 --param=on=True --param "s=a b" --param e=',
            TrackOptions(params={"k": 3, "rate": 1e-3, "on": True, "s": "a b", "e": ""}),
        ),
        ('--note "why not"', TrackOptions(tags={"mlflow.note.content": "why not"})),
        ("--help", TrackOptions(help=True)),
    ],
)
def test_a_line_is_parsed(line, options):
    assert parse_track_line(line) == options


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b", "unexpected 'b'"),
        ("--tga x=1", "did you mean '--tag'"),
        ("--tag", "needs a value"),
        ("--param depth", "KEY=VALUE, not 'depth'"),
        ("--tag =x", "KEY=VALUE"),
        ("'open", "No closing quotation"),
    ],
)
def test_an_error_in_the_line_shows_the_usage(line, message):
    with pytest.raises(BadOptions, match=message) as caught:
        parse_track_line(line)
    assert "--nested" in str(caught.value)


def lines(text):
    return text.splitlines(keepends=True)


def test_line_numbers_stay_and_other_cells_are_left_alone():
    cell = lines('%%track it\'s --tag a="b"\nx = 1\ny = 2\n')
    changed = transform_track(cell)
    assert changed[1:] == cell[1:] and len(changed) == 3
    call = ast.parse(changed[0]).body[0].value
    assert [argument.value for argument in call.args] == ["track", 'it\'s --tag a="b"']
    for other in ("x = 1\n", "%%time\n1\n", "%%tracker\n1\n", "%%track?\n", "", "# %%track\n"):
        assert transform_track(lines(other)) == lines(other)


def test_imports_from_the_future_stay_first():
    changed = "".join(transform_track(lines('%%track a\n"""Doc."""\nfrom __future__ import annotations\nx: y = 1\n')))
    tree = ast.parse(changed)
    compile(changed, "<cell>", "exec")
    assert isinstance(tree.body[1], ast.ImportFrom) and tree.body[-1].lineno == 4


def test_another_cell_magic_below_is_still_one():
    changed = "".join(transform_track(lines("%%track a\n\n%%time\nx = 1\n")))
    magic = ast.parse(changed).body[1].value
    assert [argument.value for argument in magic.args] == ["time", "", "x = 1\n"]
