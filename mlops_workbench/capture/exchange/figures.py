"""Figures as pictures, pages and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_workbench.capture.exchange.plain import file_value
from mlops_workbench.capture.run.figures import drawing_of, render_figure
from mlops_workbench.core.errors import InvalidInput

_DRAWN = (".png", ".svg", ".pdf", ".jpg", ".jpeg")


def write_figure(figure: Any, path: Path, ending: str) -> None:
    """Write a figure of matplotlib or plotly, or an object with a picture, in the format of the ending.

    Raises
    ------
    InvalidInput
        The figure has no such format.
    """
    drawing = drawing_of(figure)
    if drawing is not None:
        if ending not in _DRAWN:
            raise _no_format(figure, ending, _DRAWN)
        drawing.savefig(path, format=ending.lstrip("."), bbox_inches="tight")
        return
    if hasattr(figure, "to_plotly_json"):
        path.write_bytes(_plotly(figure, ending))
        return
    files = render_figure(figure, "")
    found = {f".{name.rpartition('.')[2]}": content for name, content, _ in files}
    if ending not in found:
        raise _no_format(figure, ending, tuple(found))
    path.write_bytes(found[ending])


def read_figure(content: bytes, ending: str) -> Any:
    """Return the figure of plotly in JSON, the text of a page or an SVG, or the bytes of a picture.

    Raises
    ------
    InvalidInput
        The JSON is not that of a figure.
    """
    if ending != ".json":
        return file_value(content, ending)
    from plotly.io import from_json

    try:
        return from_json(content.decode())
    except ValueError as error:
        raise InvalidInput(f"the file is not a figure of plotly: {error}") from error


def _plotly(figure: Any, ending: str) -> bytes:
    if ending == ".json":
        return str(figure.to_json()).encode()
    if ending == ".html":
        # With the library inside, since the file must be readable without a network; 4 MB.
        return str(figure.to_html(include_plotlyjs=True, full_html=True)).encode()
    if ending not in _DRAWN:
        raise _no_format(figure, ending, (".json", ".html", *_DRAWN))
    try:
        return bytes(figure.to_image(format=ending.lstrip(".")))
    except Exception as error:  # of kaleido, or that it or its browser is missing
        raise InvalidInput(
            f"plotly cannot draw the figure as '{ending}': {error}", hint="end the path in .html or .json"
        ) from error


def _no_format(figure: Any, ending: str, known: tuple[str, ...]) -> InvalidInput:
    return InvalidInput(
        f"a figure of type {type(figure).__name__} cannot be saved as '{ending}'",
        hint=f"end the path in {' or '.join(known)}",
    )
