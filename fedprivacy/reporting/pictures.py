"""Pictures of a run: originals beside what was reconstructed and what could have been guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fedprivacy import folder
from fedprivacy.metrics.scores import Float

BEST = "chosen attack"
NAMES = {BEST: "reconstructed", "null (another client's message)": "null: another's message"}


@dataclass(frozen=True, eq=False)
class PictureRow:
    """Images [N, C, H, W] in [0, 1] under a name, with PSNR in dB [N] against the originals (None: they are those)."""

    name: str
    images: Float
    psnr: Float | None = None


def as_image(image: Float) -> Image.Image:
    """[C, H, W] in [0, 1] as a picture: colours of three channels, else the grey of their mean."""
    shown = image.transpose(1, 2, 0) if image.shape[0] == 3 else image.mean(axis=0)
    return Image.fromarray((np.clip(shown, 0, 1) * 255).round().astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows of pictures of one adversary; column i of every row is about the same original."""

    name: str
    title: str
    rows: tuple[PictureRow, ...]


def panels(where: Path) -> Iterator[Panel]:
    """Every panel of a run folder, by adversary."""
    for path in sorted((where / "pictures").glob("*.safetensors")):
        arrays, header = folder.read_arrays(path)
        classes = header["kind"] == "classes"
        first = PictureRow("mean of the class" if classes else "original", arrays["original"].astype(np.float64))
        rows = [
            PictureRow(NAMES.get(name, name), arrays[name].astype(np.float64), arrays[f"psnr of {name}"])
            for name in header["rows"]
        ]
        yield Panel(path.stem, header["title"], (first, *rows))
