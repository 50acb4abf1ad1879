"""A figure as SVG that stands inside a page: follows its dark mode, and says in words what it shows.

Every colour becomes a CSS variable with the house's own colour as its fallback, so that a page may replace it.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.figure import Figure

from fedprivacy.reporting.figures.style import house_style

FONT = "'DejaVu Sans'"
"""The font that text is measured in."""
FONTS = f"{FONT}, Verdana, sans-serif"
"""The same, and one of the same widths where it is missing."""

DARK = {
    "#0072b2": "#5aa9f0",
    "#d55e00": "#ff8f4a",
    "#009e73": "#3ccba3",
    "#cc79a7": "#e9a3c9",
    "#e69f00": "#f4bc4e",
    "#56b4e9": "#a5d8fb",
    "#000000": "#e6e8eb",
    "#444444": "#b9c1ca",
    "#777777": "#929ca7",
    "#b8b8b8": "#5b6571",
    "#dddddd": "#39414a",
    "#ffffff": "#14171b",
}
"""Colours of the house on a dark ground."""

_STYLE = re.compile(r'style="[^"]*"')
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_ID = re.compile(r'(\bid="|xlink:href="#|url\(#)')


@dataclass(frozen=True)
class Drawn:
    """``svg``: an element for a page; ``words``: what it shows, for whoever does not see it."""

    svg: str
    words: str


def drawn(figure: Figure, name: str, words: str) -> Drawn:
    """``figure`` as SVG; ``name`` keeps its ids apart from those of others on the page."""
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": name})
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return element(buffer.getvalue().decode(), name, words)


def element(svg: str, name: str, words: str) -> Drawn:
    """An SVG file as an element of a page, with its text alternative."""
    body = re.sub(r"<style[^>]*>.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", body, count=1)
    body = _ID.sub(lambda match: f"{match[1]}{name}-", body)
    body = _STYLE.sub(lambda match: _COLOUR.sub(_variable, match[0]).replace(FONT, FONTS), body)
    return Drawn(f'<svg role="img" aria-label="{escape(words)}"{body.removeprefix("<svg")}', words)


def _variable(colour: re.Match[str]) -> str:
    return f"var(--c{colour[0][1:]}, {colour[0]})"
