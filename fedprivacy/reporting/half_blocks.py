"""Pictures on a colour terminal: the upper half of a character is one pixel, its ground the one below."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from rich.console import Console
from rich.text import Text

from fedprivacy.metrics.scores import Float
from fedprivacy.reporting.pictures import Panel
from fedprivacy.reporting.text import clean

SIDE = 28
GAP = 2
UPPER = "\u2580"


def can_show(console: Console) -> bool:
    """Whether pictures can be seen: a terminal with true colours that writes Unicode."""
    unicode = (console.encoding or "").lower().startswith("utf")
    return console.is_terminal and console.color_system == "truecolor" and unicode


def show_panel(panel: Panel, console: Console) -> None:
    """The rows of ``panel`` one below the other, as many columns as fit; images above 28 pixels are made smaller."""
    small = [np.stack([smaller(image) for image in row.images]) for row in panel.rows]
    width = small[0].shape[3] + GAP
    columns = max(1, min(len(small[0]), (console.width + GAP) // width))
    console.print(Text(clean(panel.title), style="bold"))
    for row, images in zip(panel.rows, small, strict=True):
        decibels = "" if row.psnr is None else " dB: " + ", ".join(f"{value:.0f}" for value in row.psnr[:columns])
        console.print(Text(f"{clean(row.name)}{decibels}", style="dim"))
        for line in lines(images[:columns]):
            console.print(line, no_wrap=True, crop=True, overflow="crop")


def lines(images: Float) -> list[Text]:
    """Images [N, C, H, W] in [0, 1] side by side, two pixel rows a line."""
    colours = np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images[:, :3]
    values = (np.clip(colours, 0, 1) * 255).round().astype(int)
    if values.shape[2] % 2:
        values = np.concatenate([values, values[:, :, -1:]], axis=2)
    found = []
    for top in range(0, values.shape[2], 2):
        line = Text()
        for place, image in enumerate(values):
            line.append(" " * GAP if place else "")
            for column in range(values.shape[3]):
                above, below = image[:, top, column], image[:, top + 1, column]
                line.append(UPPER, style=f"rgb({_rgb(above)}) on rgb({_rgb(below)})")
        found.append(line)
    return found


def _rgb(colour: np.ndarray) -> str:
    return ",".join(str(int(part)) for part in colour)


def smaller(image: Float, side: int = SIDE) -> Float:
    """An image [C, H, W] of at most ``side`` pixels a side: means over nearly equal blocks."""
    found = image
    for axis in (1, 2):
        length = found.shape[axis]
        if length > side:
            edges = np.linspace(0, length, side + 1).round().astype(int)
            blocks = [found.take(range(a, b), axis=axis).mean(axis=axis) for a, b in pairwise(edges)]
            found = np.stack(blocks, axis=axis)
    return found
