"""One look for all figures: colour-blind safe, readable in print, the same bytes for the same input.

Colours are those of M. Okabe and K. Ito, "Color Universal Design" (2008), told apart by marker and dash as well.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
BAND = "#B8B8B8"
DPI = 150

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "text.parse_math": False,
    "text.usetex": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` inches under the settings of the house, whatever the user's own are."""
    with house_style():
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


@contextmanager
def house_style() -> Iterator[None]:
    """The settings of the house for as long as it lasts."""
    with matplotlib.rc_context():
        matplotlib.rcParams.update(matplotlib.rcParamsDefault)
        matplotlib.rcParams.update(_SETTINGS)
        yield


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, without dates or versions in it. Letters that the font lacks become boxes, not warnings."""
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def colour(number: int) -> str:
    """Colour of series ``number``; after seven they repeat, with other dashes and markers."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """Marker of series ``number``."""
    return MARKERS[(number + number // len(MARKERS)) % len(MARKERS)]


def dash(number: int) -> str | tuple[int, tuple[int, ...]]:
    """Dash of series ``number``."""
    return DASHES[(number + number // len(DASHES)) % len(DASHES)]


def say(axes: Axes, words: str) -> None:
    """An empty figure with a sentence in it."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, wrap=True)


def shortened(text: str, most: int = 44) -> str:
    """``text`` cut in its middle so that a label leaves room for the plot; newlines and dollar signs stay harmless."""
    if len(text) <= most:
        return text
    head = (most - 3) // 2
    return f"{text[:head]}...{text[-(most - 3 - head) :]}"
