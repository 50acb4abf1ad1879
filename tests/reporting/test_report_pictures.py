"""Pictures: as PNG, and as half blocks on a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fedprivacy import folder
from fedprivacy.reporting.figures import pictures_figure
from fedprivacy.reporting.half_blocks import can_show, show_panel, side_by_side
from fedprivacy.reporting.pictures import BEST, Panel, PictureRow, panels

COLOURS: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor", "width": 60}
LOWER = "\u2584"


def images(number: int, channels: int = 1, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((number, channels, side, side))


def test_a_grid_of_pictures_is_a_png() -> None:
    for channels in (1, 3):
        rows = [PictureRow("original", images(3, channels)), PictureRow(BEST, images(3, channels), np.ones(3))]
        assert pictures_figure(rows, "title").startswith(b"\x89PNG")


def test_half_blocks_hold_every_pixel() -> None:
    picture = np.zeros((1, 3, 3, 2))
    picture[0, 0, 0, 0], picture[0, 1, 1, 0], picture[0, :, 2, 1] = 1.0, 1.0, 0.5
    page = io.StringIO()
    show_panel(Panel("a", "", (PictureRow("b", picture),)), Console(file=page, **COLOURS))
    red, green, grey = "2;255;0;0", "2;0;255;0", "2;128;128;128"
    first, second = page.getvalue().splitlines()[-2:]
    assert f"38;{green};48;{red}m{LOWER}" in first
    assert second.count(LOWER) <= 2 and grey in second


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_are_means_of_blocks(channels: int) -> None:
    image = images(2, channels, 56)
    small = np.asarray(side_by_side(image), dtype=float)
    assert small.shape == (28, 28 + 2 + 28, 4)
    assert not small[:, 28:30].any() and (small[:, :28, 3] == 255).all()
    means = image.reshape(2, channels, 28, 2, 28, 2).mean(axis=(3, 5)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(
        small[:, 30:, :3], np.broadcast_to(255 * means[1], (28, 28, 3)), atol=1.5
    )  # rounded three times
    assert side_by_side(image[:, :, :21, :20]).size == (20 + 2 + 20, 22)


def test_a_panel_is_read_back_and_shown(tmp_path: Path) -> None:
    arrays = {"original": images(2), BEST: images(2), f"psnr of {BEST}": np.array([100.0, 30.0])}
    header = {"rows": [BEST], "title": "server", "kind": "records"}
    folder.write_arrays(tmp_path / "pictures" / "server.safetensors", arrays, header)
    (panel,) = panels(tmp_path)
    assert [row.name for row in panel.rows] == ["original", "reconstructed"]
    page = io.StringIO()
    console = Console(file=page, **COLOURS)
    show_panel(panel, console)
    assert LOWER in page.getvalue() and "100, 30" in page.getvalue()
    assert not can_show(Console(file=io.StringIO(), width=60))
