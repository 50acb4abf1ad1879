"""Pictures: as PNG, and as half blocks on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from fedprivacy import folder
from fedprivacy.reporting.figures import pictures_figure
from fedprivacy.reporting.half_blocks import UPPER, can_show, lines, show_panel, smaller
from fedprivacy.reporting.pictures import BEST, PictureRow, panels


def images(number: int, channels: int = 1, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((number, channels, side, side))


def test_a_grid_of_pictures_is_a_png() -> None:
    for channels in (1, 3):
        rows = [PictureRow("original", images(3, channels)), PictureRow(BEST, images(3, channels), np.ones(3))]
        assert pictures_figure(rows, "title").startswith(b"\x89PNG")


def test_half_blocks_hold_every_pixel() -> None:
    picture = np.zeros((1, 3, 3, 2))
    picture[0, 0, 0, 0], picture[0, 1, 1, 0], picture[0, :, 2, 1] = 1.0, 1.0, 0.5
    found = lines(picture)
    assert [line.plain for line in found] == [UPPER * 2, UPPER * 2]
    first, last = found[0].spans[0].style, found[1].spans[1].style
    assert first == "rgb(255,0,0) on rgb(0,255,0)" and last == "rgb(128,128,128) on rgb(128,128,128)"


def test_large_pictures_are_means_of_blocks() -> None:
    image = images(1, 3, 56)[0]
    small = smaller(image)
    assert small.shape == (3, 28, 28)
    np.testing.assert_allclose(small, image.reshape(3, 28, 2, 28, 2).mean(axis=(2, 4)))
    assert smaller(image[:, :20, :20]).shape == (3, 20, 20)


def test_a_panel_is_read_back_and_shown(tmp_path: Path) -> None:
    arrays = {"original": images(2), BEST: images(2), f"psnr of {BEST}": np.array([100.0, 30.0])}
    header = {"rows": [BEST], "title": "server", "kind": "records"}
    folder.write_arrays(tmp_path / "pictures" / "server.safetensors", arrays, header)
    (panel,) = panels(tmp_path)
    assert [row.name for row in panel.rows] == ["original", "reconstructed"]
    page = io.StringIO()
    console = Console(file=page, force_terminal=True, color_system="truecolor", width=60)
    show_panel(panel, console)
    assert UPPER in page.getvalue() and "100, 30" in page.getvalue()
    assert not can_show(Console(file=io.StringIO(), width=60))
