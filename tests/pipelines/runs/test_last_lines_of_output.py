"""The last lines that a running stage printed: bounded, and as a terminal would show them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.pipelines.runs.tail import OutputTail, last_lines, read_tail


def test_lines_are_those_that_a_terminal_shows() -> None:
    text = "one\n\n  two \n\r 10%|#   |\r 20%|##  |\x1b[A\n\x1b[31mred\x1b[0m\tend\r\n"
    assert last_lines(text, 9) == ["one", "  two", " 20%|##  |", "red end"]
    assert last_lines(text, 2) == [" 20%|##  |", "red end"]
    assert last_lines(text, 0) == [] and last_lines("", 3) == []


def test_a_flood_leaves_a_small_file_with_its_end(tmp_path: Path) -> None:
    tail = OutputTail(tmp_path / "output.txt")
    for number in range(2000):
        tail.add(f"line {number} {'x' * 300}\n")
    tail.add("y" * 5_000_000)
    tail.add("\nlast, with half a pair \ud83d\n")
    tail.write()
    assert (tmp_path / "output.txt").stat().st_size < 20_000
    *_, before, last = read_tail(tmp_path / "output.txt", 5)
    assert set(before) == {"y"} and len(before) <= 500 and last.startswith("last, with half a pair")
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]
    tail.remove()
    tail.remove()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_or_read_is_no_output(tmp_path: Path) -> None:
    tail = OutputTail(tmp_path / "gone" / "output.txt")
    tail.add("text\n")
    tail.write()
    tail.remove()
    assert read_tail(tmp_path / "gone" / "output.txt", 3) == []
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\nend\n")
    assert read_tail(tmp_path / "bytes", 1) == ["end"]


@given(st.lists(st.text(st.sampled_from("ab \r\n\t\x1b[1m"), max_size=30), max_size=20), st.integers(0, 5))
def test_the_end_does_not_depend_on_how_it_came(parts: list[str], count: int) -> None:
    together, apart = OutputTail(Path("unused")), OutputTail(Path("unused"))
    together.add("".join(parts))
    for part in parts:
        apart.add(part)
    assert apart._text == together._text
    lines = last_lines(apart._text, count)
    assert len(lines) <= count and all(line.strip() and "\n" not in line and "\r" not in line for line in lines)
