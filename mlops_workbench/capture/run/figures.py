"""Figures as files, rendered without importing the plotting libraries."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mlops_workbench.core.errors import InvalidInput

#: Name, content and media type.
FigureFile = tuple[str, bytes, str]

_PLOTLY = "application/vnd.plotly.v1+json"
_MATPLOTLIB_FORMATS = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "jpg": "image/jpeg"}


def render_figure(figure: Any, name: str) -> list[FigureFile]:
    """Return the files of a figure: a picture, or data and an HTML page for plotly.

    Parameters
    ----------
    figure : object
        A matplotlib figure or axes, a plotly figure, or an object with ``_repr_png_`` or ``_repr_svg_``.
    name : str
        File name, empty for a default one; for matplotlib its extension selects the format.

    Raises
    ------
    InvalidInput
        It is none of these, or the format is unknown.
    """
    drawing = drawing_of(figure)
    if drawing is not None:
        return [_matplotlib(drawing, name)]
    if hasattr(figure, "to_plotly_json") and hasattr(figure, "to_json"):
        return _plotly(figure, name)
    for method, ending, media_type in (("_repr_svg_", ".svg", "image/svg+xml"), ("_repr_png_", ".png", "image/png")):
        shown: Any = getattr(figure, method)() if hasattr(type(figure), method) else None
        if shown is not None:
            drawn = shown[0] if isinstance(shown, tuple) else shown  # IPython allows a tuple with metadata
            data = drawn if isinstance(drawn, bytes) else _text_or_base64(drawn, media_type)
            return [(_ending(name or "figure", ending), data, media_type)]
    raise InvalidInput(
        f"{type(figure).__name__} is not a figure",
        hint="pass a matplotlib or plotly figure, or an object with a PNG or SVG representation",
    )


def displayed_figures(bundle: Mapping[str, Any]) -> list[FigureFile]:
    """Return the figure in a display message (a MIME bundle) in its richest format, or an empty list."""
    if _PLOTLY in bundle:
        content = {key: bundle[_PLOTLY][key] for key in ("data", "layout", "frames") if key in bundle[_PLOTLY]}
        return [("figure.plotly.json", json.dumps(content).encode(), _PLOTLY)]
    vega = next((media_type for media_type in bundle if media_type.startswith("application/vnd.vega")), None)
    if vega is not None and isinstance(bundle[vega], dict):
        ending = ".vl.json" if "lite" in vega else ".vg.json"
        return [(f"figure{ending}", json.dumps(bundle[vega]).encode(), vega)]
    for media_type, ending in (("image/png", ".png"), ("image/svg+xml", ".svg"), ("image/jpeg", ".jpg")):
        if isinstance(picture := bundle.get(media_type), str | bytes):
            data = picture if isinstance(picture, bytes) else _text_or_base64(picture, media_type)
            return [(f"figure{ending}", data, media_type)]
    return []


def drawing_of(figure: Any) -> Any:
    """Return the matplotlib figure of a figure or axes, None for other figures."""
    drawing = figure if hasattr(figure, "savefig") else getattr(figure, "figure", None)
    return drawing if hasattr(drawing, "savefig") else None


class KeptFigures:
    """Names and contents of the figures of a run."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._content: set[str] = set()
        self._drawings: list[weakref.ref[Any]] = []

    def add(self, files: Iterable[FigureFile], *, renumber: bool, drawing: Any = None) -> list[FigureFile]:
        """Add the files of a figure and return them with their final names.

        Parameters
        ----------
        files : iterable of (name, content, media type)
            The files.
        renumber : bool
            Append the next free number to existing names instead of replacing those files.
        drawing : object, optional
            The matplotlib figure.
        """
        files = list(files)
        mark = ""
        while renumber and any(_numbered(path, mark) in self._paths for path, _, _ in files):
            mark = f"-{int(mark[1:] or 1) + 1}"
        named = [(_numbered(path, mark), content, media_type) for path, content, media_type in files]
        self._paths |= {path for path, _, _ in named}
        self._content |= {_fingerprint(content, media_type) for _, content, media_type in named}
        if drawing is not None:
            self._drawings.append(weakref.ref(drawing))
        return named

    def known(self, files: Iterable[FigureFile], drawing: Any = None) -> bool:
        """Whether the figure was added already, perhaps in another size."""
        if drawing is not None and any(kept() is drawing for kept in self._drawings):
            return True
        return any(_fingerprint(content, media_type) in self._content for _, content, media_type in files)


def _fingerprint(content: bytes, media_type: str) -> str:
    if media_type == _PLOTLY:
        figure = json.loads(content)
        content = json.dumps({key: figure.get(key) for key in ("data", "layout")}, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _numbered(path: str, mark: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, endings = name.partition(".")
    return f"{folder}{slash}{stem}{mark}{dot}{endings}"


def _matplotlib(figure: Any, name: str) -> FigureFile:
    path = name or "figure.png"
    kind = PurePosixPath(path).suffix.lstrip(".").lower().replace("jpeg", "jpg")
    if not kind:
        kind, path = "png", f"{path}.png"
    if kind not in _MATPLOTLIB_FORMATS:
        raise InvalidInput(f"a figure cannot be saved as '.{kind}'", hint=f"one of {', '.join(_MATPLOTLIB_FORMATS)}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, bbox_inches="tight")
    return path, buffer.getvalue(), _MATPLOTLIB_FORMATS[kind]


def _plotly(figure: Any, name: str) -> list[FigureFile]:
    stem = name or "figure"
    for ending in (".plotly.json", ".json", ".html", ".png", ".svg"):
        stem = stem.removesuffix(ending)
    files = [(f"{stem}.plotly.json", figure.to_json().encode(), _PLOTLY)]
    if hasattr(figure, "to_html"):
        # The page loads plotly.js from its CDN: with the library inside, it would have 4 MB.
        page = figure.to_html(include_plotlyjs="cdn", full_html=True)
        files.append((f"{stem}.html", page.encode(), "text/html"))
    return files


def _ending(name: str, ending: str) -> str:
    return name if name.lower().endswith(ending) else name + ending


def _text_or_base64(content: str, media_type: str) -> bytes:
    return content.encode() if media_type == "image/svg+xml" else base64.b64decode(content)


@dataclass(frozen=True)
class ShownFigure:
    """A displayed figure: its files, and its object when that is known."""

    files: list[FigureFile]
    source: Any = None
