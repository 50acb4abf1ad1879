"""A strip of pictures for a page: originals, what was reconstructed, and what could have been guessed, as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape

from fedprivacy.metrics.scores import Float
from fedprivacy.reporting.figures.drawn import FONT, Drawn, element
from fedprivacy.reporting.pictures import PictureRow, as_image
from fedprivacy.reporting.text import clean

MOST = 6
SIDE, GAP, LINE = 62, 8, 15
"""Of a picture, between two, and of a line of text, in pixels of the drawing."""


def strip(rows: Sequence[PictureRow], name: str, title: str, words: str) -> Drawn:
    """The first six of every row, each with its PSNR; ``name`` and ``words`` as in ``drawn``."""
    columns = min(MOST, len(rows[0].images))
    width, top = columns * (SIDE + GAP) - GAP, LINE + GAP
    parts = [_text(clean(title), 0, LINE - 4, 11, "start", "bold")]
    for row in rows:
        parts += _row(row, columns, top)
        top += LINE + SIDE + GAP + (0 if row.psnr is None else LINE)
    box, size = f"0 0 {width} {top}", f'width="{width}" height="{top}"'
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return element(f'<svg {links} {size} viewBox="{box}">{"".join(parts)}</svg>', name, words)


def _row(row: PictureRow, columns: int, top: float) -> Iterator[str]:
    yield _text(clean(row.name), 0, top + LINE - 4, 11, "start")
    for place in range(columns):
        x, y = place * (SIDE + GAP), top + LINE
        link = f'xlink:href="data:image/png;base64,{_png(row.images[place])}"'
        yield f'<image {link} x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" style="image-rendering: pixelated"/>'
        if row.psnr is not None:
            yield _text(f"{row.psnr[place]:.0f} dB", x + SIDE / 2, y + SIDE + LINE - 4, 10, "middle")


def _text(words: str, x: float, y: float, size: int, anchor: str, weight: str = "normal") -> str:
    font = f"font: {weight} {size}px {FONT}; text-anchor: {anchor}; fill: #000000"
    return f'<text x="{x}" y="{y}" style="{font}">{escape(words)}</text>'


def _png(image: Float) -> str:
    """[C, H, W] in [0, 1] as a PNG in base64."""
    buffer = io.BytesIO()
    as_image(image).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
