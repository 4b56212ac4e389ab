"""Result of a command: text in a shell, a static table in a notebook, a DataFrame in a program."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.commands.cells import Cell, cell, cell_html
from mlops_workbench.core.shown.colours import BAD, BORDER, CODE_FONT, FONT, GOOD, INFO, TEXT
from mlops_workbench.core.shown.plain_text import visible, visible_json
from mlops_workbench.core.wire.json_numbers import json_value

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

_STYLE = f"{FONT};font-size:13px;color:{TEXT};line-height:1.5"
#: Minimum width of a column in a narrow terminal, and the gap between two columns.
_NARROWEST, _GAP = 10, 3
#: Key in the metadata of an output that the workbench shows; such an output is not a result of the cell.
MARK = "mlops_workbench"
_RULE = f"border-bottom:1px solid {BORDER}"


#: Colours of a diff's lines by their first character, readable on light and dark.
_DIFF_COLOURS = {"+": ("green", GOOD), "-": ("red", BAD), "@": ("cyan", INFO)}


@dataclass(frozen=True)
class Plot:
    """A figure of a view; `make` builds it when it is shown."""

    title: str
    make: Callable[[], Figure] = field(repr=False)


@dataclass
class View:
    """Result of a command.

    Parameters
    ----------
    title : str
        Heading.
    columns, rows
        A table; numbers are right-aligned.
    facts : sequence of (name, value)
        Shown above the table.
    notes : sequence of str
        Shown below the table, for example the next step.
    sections : sequence of View
        Further tables.
    block : str
        Preformatted text, such as source code.
    diff : bool
        Whether the block is a unified diff, which is coloured.
    folded : bool
        Whether a notebook shows only the title of this section until it is opened.
    data : object
        The objects behind the table, for programs and for ``--json``.
    svg : str
        A drawing that a notebook shows instead of the block.
    plots : sequence of Plot
        Plotly figures, shown in notebooks only.
    failed : bool
        Whether a check failed: the exit code in a shell is 1.
    exit_code : int
        Another exit code in a shell; 0 for none.
    table : callable, optional
        Builds the DataFrame if it has more than the table that is shown.
    place : callable, optional
        Shows the MIME bundle of the view in place of what the command has shown while it ran; returns whether it did.
    refresh : callable, optional
        Makes the view anew, for a notebook that shows it while it changes.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    facts: Sequence[tuple[str, Cell]] = ()
    notes: Sequence[str] = ()
    sections: Sequence[View] = ()
    block: str = ""
    data: Any = None
    diff: bool = False
    folded: bool = False
    plots: Sequence[Plot] = field(default=(), repr=False)
    table: Callable[[], pd.DataFrame] | None = field(default=None, repr=False)
    failed: bool = False
    exit_code: int = 0
    svg: str = field(default="", repr=False)
    place: Callable[[dict[str, str]], bool] | None = field(default=None, repr=False)
    refresh: Callable[[], View] | None = field(default=None, repr=False)

    def frame(self) -> pd.DataFrame:
        """The table as a DataFrame of shape (rows, columns)."""
        if self.table is not None:
            return self.table()
        import pandas as pd

        return pd.DataFrame([list(row) for row in self.rows], columns=list(self.columns))

    def text(self, *, width: int = 120, colour: bool = False) -> str:
        """The view as text; rich draws the tables."""
        from rich.console import Console

        stream = io.StringIO()
        console = Console(
            file=stream,
            width=width,
            force_terminal=colour,
            # Otherwise rich displays the text itself in a notebook, in addition to the view.
            force_jupyter=False,
            no_color=not colour,
            highlight=False,
        )
        self._print(console)
        return stream.getvalue().rstrip("\n")

    def json(self) -> str:
        """The data of the view as JSON."""
        import msgspec

        plain = self.data.to_dict() if hasattr(self.data, "to_dict") else msgspec.to_builtins(self.data)
        return visible_json(msgspec.json.format(msgspec.json.encode(json_value(plain))).decode())

    def html(self) -> str:
        """The view as static HTML without scripts, so that a saved notebook shows it anywhere."""
        return visible(f'<div style="{_STYLE}">{self._html()}</div>')

    def __str__(self) -> str:
        return self.text()

    def _ipython_display_(self) -> None:
        """Display the view, and its figures below it."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        marks = {MARK: {"view": self.title}}
        bundle, place = self._repr_mimebundle_(), self.place
        self.place = None
        if place is None or not place(bundle):
            display(bundle, raw=True, metadata=marks)
        # A terminal cannot draw figures.
        for plot in self.plots if hasattr(get_ipython(), "kernel") else ():
            # A front end without plotly shows the title instead.
            figure = {
                "application/vnd.plotly.v1+json": plot.make().to_plotly_json(),
                "text/html": visible(f"<em>interactive figure: {html.escape(plot.title)}</em>"),
                "text/plain": visible(f"[figure: {plot.title}]"),
            }
            display(figure, raw=True, metadata=marks)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text(width=100), "text/html": self.html()}

    def _print(self, console: Any) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        def text(content: str, style: str = "") -> Text:
            # Rich would write control characters as they are, or drop them.
            return Text(visible(content), style=style)

        console.print(text(self.title, "bold"))
        if self.facts:
            wide = max(len(name) for name, _ in self.facts)
            for name, value in self.facts:
                console.print(text(f"  {name:<{wide}}  {cell(value)}"))
        if self.rows:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
            shown = self._fitting(console.width)
            for number, name in enumerate(self.columns[:shown]):
                table.add_column(text(name), justify="right" if self._numeric(number) else "left", overflow="fold")
            for row in self.rows:
                table.add_row(*(text(cell(value)) for value in row[:shown]))
            console.print(table)
            if shown < len(self.columns):
                console.print(text(f"not shown: {', '.join(self.columns[shown:])}", "dim"))
        if self.block and self.diff:
            for line in self.block.splitlines():
                console.print(text(line, _DIFF_COLOURS.get(line[:1], ("", ""))[0]))
        elif self.block:
            console.print(text(self.block))
        for section in self.sections:
            console.print()
            section._print(console)
        for note in self.notes:
            console.print(text(note, "dim"))

    def _html(self) -> str:
        if self.folded:
            title = f'<summary style="font-weight:600;margin:4px 0;cursor:pointer">{html.escape(self.title)}</summary>'
            return f"<details>{title}{self._body_html()}</details>"
        return f'<div style="font-weight:600;margin:4px 0">{html.escape(self.title)}</div>{self._body_html()}'

    def _body_html(self) -> str:
        parts = []
        if self.facts:
            rows = "".join(
                '<tr style="background:none"><td style="padding:1px 16px 1px 0;text-align:left;vertical-align:top;'
                f'opacity:.7">{html.escape(name)}</td>'
                f'<td style="padding:1px 0;text-align:left">{cell_html(value)}</td></tr>'
                for name, value in self.facts
            )
            parts.append(f'<table style="border-collapse:collapse">{rows}</table>')
        if self.rows:
            head = "".join(
                f'<th style="{self._align(i)};padding:3px 7px;{_RULE};font-weight:600">{html.escape(name)}</th>'
                for i, name in enumerate(self.columns)
            )
            body = "".join(
                "<tr>"
                + "".join(
                    f'<td style="{self._align(i)};padding:2px 7px">{cell_html(value)}</td>'
                    for i, value in enumerate(row)
                )
                + "</tr>"
                for row in self.rows
            )
            parts.append(
                '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
                f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            )
        if self.svg:
            parts.append(f'<div style="overflow-x:auto;margin:6px 0">{self.svg}</div>')
        elif self.block:
            parts.append(
                f'<pre style="margin:2px 0;{CODE_FONT};color:inherit;white-space:pre-wrap">{self._block_html()}</pre>'
            )
        parts += [section._html() for section in self.sections]
        parts += [f'<div style="opacity:.7;margin-top:4px">{html.escape(note)}</div>' for note in self.notes]
        return "".join(parts)

    def _block_html(self) -> str:
        if not self.diff:
            return html.escape(self.block)
        return "\n".join(
            f'<span style="color:{_DIFF_COLOURS[line[0]][1]}">{html.escape(line)}</span>'
            if line[:1] in _DIFF_COLOURS
            else html.escape(line)
            for line in self.block.splitlines()
        )

    def _fitting(self, width: int) -> int:
        """Number of columns that fit `width` without breaking words letter by letter."""
        used = 0
        for number, name in enumerate(self.columns):
            natural = max(len(name), *(len(cell(row[number])) for row in self.rows))
            used += min(natural, _NARROWEST) + (_GAP if number else 0)
            if used > width:
                return max(1, number)
        return len(self.columns)

    def _numeric(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)

    def _align(self, column: int) -> str:
        return "text-align:right" if self._numeric(column) else "text-align:left"
