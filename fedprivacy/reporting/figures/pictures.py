"""Originals, reconstructions and guesses one below the other, each with its PSNR."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from fedprivacy.metrics.scores import Float
from fedprivacy.reporting.figures.style import drawing, to_png
from fedprivacy.reporting.pictures import PictureRow
from fedprivacy.reporting.text import clean

SIDE = 0.95
MOST = 10


def pictures(rows: Sequence[PictureRow], title: str = "") -> Figure:
    """A grid: one row a kind of picture, one column an original; at most ten columns."""
    columns = min(MOST, len(rows[0].images))
    with drawing(1.9 + SIDE * columns, 0.55 + (SIDE + 0.2) * len(rows)) as figure:
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for place, one in enumerate(rows):
            for column in range(columns):
                axes = grid[place][column]
                axes.set(xticks=[], yticks=[])
                for spine in axes.spines.values():
                    spine.set_visible(False)
                axes.imshow(_as_shown(one.images[column]), vmin=0, vmax=1, cmap="gray", interpolation="nearest")
                if one.psnr is not None:
                    axes.set_xlabel(f"{one.psnr[column]:.0f} dB", fontsize=8, labelpad=2)
            words = clean(one.name).replace(" of the class", "\nof the class").replace(": ", ":\n")
            grid[place][0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
        figure.suptitle(clean(title), fontsize=10)
        return figure


def pictures_figure(rows: Sequence[PictureRow], title: str = "") -> bytes:
    """The same as PNG."""
    return to_png(pictures(rows, title))


def _as_shown(image: Float) -> Float:
    """[C, H, W] as [H, W, 3], or [H, W] of a single channel."""
    return image.transpose(1, 2, 0) if image.shape[0] == 3 else image.mean(axis=0)
