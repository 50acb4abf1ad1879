"""Pictures on a colour terminal, two pixels a character, drawn by rich-pixels.

Graphics protocols are not asked for: the one library that speaks them (textual-image 0.12) asks the terminal when it is
imported and reads the answer from standard input, where a key typed ahead is lost, and fails with an unforeseen error
where that is no terminal (``... < /dev/null``).
"""

from __future__ import annotations

from PIL import Image
from rich.console import Console
from rich.text import Text
from rich_pixels import Pixels

from fedprivacy.metrics.scores import Float
from fedprivacy.reporting.pictures import Panel, as_image
from fedprivacy.reporting.text import clean

SIDE = 28
GAP = 2


def can_show(console: Console) -> bool:
    """Whether pictures can be seen: a terminal with true colours that writes Unicode."""
    unicode = (console.encoding or "").lower().startswith("utf")
    return console.is_terminal and console.color_system == "truecolor" and unicode


def show_panel(panel: Panel, console: Console) -> None:
    """The rows of ``panel`` one below the other, as many columns as fit; images above 28 pixels are made smaller."""
    width = min(SIDE, panel.rows[0].images.shape[3]) + GAP
    columns = max(1, min(len(panel.rows[0].images), (console.width + GAP) // width))
    console.print(Text(clean(panel.title), style="bold"))
    for row in panel.rows:
        decibels = "" if row.psnr is None else " dB: " + ", ".join(f"{value:.0f}" for value in row.psnr[:columns])
        console.print(Text(f"{clean(row.name)}{decibels}", style="dim"))
        console.print(Pixels.from_image(side_by_side(row.images[:columns])), no_wrap=True, crop=True, overflow="crop")


def side_by_side(images: Float) -> Image.Image:
    """Images [N, C, H, W] in [0, 1] in a row with clear gaps; large ones as means of blocks."""
    small = [as_image(image) for image in images]
    for one in small:
        one.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    width, height = small[0].size
    row = Image.new("RGBA", (len(small) * (width + GAP) - GAP, height + height % 2))
    for place, one in enumerate(small):
        row.paste(one, (place * (width + GAP), 0))
    return row
