"""Image folders: order, classes, sizes, and every way they can be wrong."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.image_folder import decode, read_folder
from fedprivacy.data.sources import load


def paint(path: Path, level: int, size: tuple[int, int] = (6, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode != "RGB" else (level, level, level)).save(path)


def fill(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 5, start: int = 0) -> None:
    for number, name in enumerate(classes):
        for i in range(each):
            paint(root / name / f"{i:02d}.png", start + number * each + i)


def test_records_come_in_the_order_of_sorted_names(tmp_path: Path) -> None:
    fill(tmp_path, ("dog", "ape"), 3)
    raw = read_folder(tmp_path, None, skip_bad=False)
    assert raw.classes == ("ape", "dog")
    assert raw.train.x.shape == (6, 3, 6, 6) and raw.train.x.dtype == np.uint8
    assert raw.train.x[:, 0, 0, 0].tolist() == [3, 4, 5, 0, 1, 2]
    assert raw.train.y.tolist() == [0, 0, 0, 1, 1, 1] and raw.test is None and raw.notes == ()


def test_train_and_test_folders(tmp_path: Path) -> None:
    fill(tmp_path / "train", each=4)
    fill(tmp_path / "test", each=2, start=100)
    raw = read_folder(tmp_path, None, skip_bad=False)
    assert raw.test is not None and len(raw.train.y) == 8 and raw.test.y.tolist() == [0, 0, 1, 1]
    assert raw.test.x[:, 1, 2, 3].tolist() == [100, 101, 102, 103]


def test_channels_come_first(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", None), pixels.transpose(2, 0, 1))


def test_resizing_is_nearest_neighbour(tmp_path: Path) -> None:
    fill(tmp_path)
    paint(tmp_path / "cat" / "big.png", 200, (31, 17))
    raw = read_folder(tmp_path, 4, skip_bad=False)
    assert raw.train.x.shape == (11, 3, 4, 4)
    assert sorted(np.unique(raw.train.x).tolist()) == [*range(10), 200]


def test_images_of_two_sizes_name_one_file(tmp_path: Path) -> None:
    fill(tmp_path)
    paint(tmp_path / "dog" / "wide.png", 9, (8, 6))
    with pytest.raises(UsageError, match=r"wide\.png is 8x6.* are 6x6; give --image-size N"):
        read_folder(tmp_path, None, skip_bad=True)


def test_the_test_folder_must_match_in_size(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    for name in ("cat", "dog"):
        paint(tmp_path / "test" / name / "a.png", 1, (9, 9))
    with pytest.raises(UsageError, match="--image-size N"):
        read_folder(tmp_path, None, skip_bad=False)


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
@pytest.mark.parametrize("name", ["cat/00.png", "dog/03.png"], ids=["first", "middle"])
@pytest.mark.parametrize("size", [None, 4])
def test_a_corrupt_image_is_named_or_left_out(
    tmp_path: Path, content: bytes | None, name: str, size: int | None
) -> None:
    fill(tmp_path)
    bad = tmp_path / name
    if content is None:
        noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, "png")
        content = stream.getvalue()[:-40]
    bad.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_folder(tmp_path, size, skip_bad=False)
    assert str(bad) in str(caught.value) and "--skip-bad" in str(caught.value) and "\n" not in str(caught.value)
    raw = read_folder(tmp_path, size, skip_bad=True)
    assert len(raw.train.y) == 9 and raw.train.y.sum() == (5 if name.startswith("cat") else 4)
    assert raw.notes == (f"left out 1 images that cannot be read, the first is {name}",)
    assert str(tmp_path) not in raw.notes[0]


def test_only_corrupt_images(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"x")
    for size in (None, 8):
        with pytest.raises(UsageError, match="None of the 2 images"):
            read_folder(tmp_path, size, skip_bad=True)


def test_other_files_are_counted_and_hidden_ones_ignored(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "readme.txt").write_text("x")
    (tmp_path / "cat" / ".hidden.png").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    paint(tmp_path / "dog" / "deeper" / "a.JPG", 77)
    raw = read_folder(tmp_path, None, skip_bad=False)
    assert len(raw.train.y) == 11
    assert raw.notes == ("left out 1 files whose names do not end like an image, or that are no plain files",)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.full((4, 5), 128 * 257, dtype=np.uint16)).save(path)
    else:
        Image.new("RGB", (5, 4), (128, 128, 128)).convert(mode).save(path)
    pixels = decode(path, None)
    assert pixels.shape == (3, 4, 5) and pixels.dtype == np.uint8
    if mode not in ("1", "P"):
        assert set(np.unique(pixels).tolist()) <= {127, 128}


def test_palette_transparency_is_dropped_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert decode(tmp_path / "a.png", None)[:, 0, 0].tolist() == [10, 20, 30]


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UsageError, match="floating-point pixels"):
        decode(tmp_path / "a.tif", None)


def test_folders_of_the_wrong_form(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no class folders"):
        read_folder(tmp_path, None, skip_bad=False)
    fill(tmp_path, ("cat",))
    with pytest.raises(UsageError, match=r"one class only \(cat\)"):
        read_folder(tmp_path, None, skip_bad=False)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UsageError, match=r"Class folder .*dog holds no images"):
        read_folder(tmp_path, None, skip_bad=False)
    (tmp_path / "train").mkdir()
    with pytest.raises(UsageError, match="train/ but no test/"):
        read_folder(tmp_path, None, skip_bad=False)


def test_train_and_test_need_the_same_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", ("cat", "emu"))
    with pytest.raises(UsageError, match=r"cat, emu, but .* cat, dog"):
        read_folder(tmp_path, None, skip_bad=False)


def test_facemask_wants_its_two_classes_and_100_pixels(tmp_path: Path) -> None:
    fill(tmp_path / "bad", ("mask", "no_mask"))
    with pytest.raises(UsageError, match="expected with_mask, without_mask"):
        load(DataConfig(dataset="facemask", data_dir=str(tmp_path / "bad")))
    fill(tmp_path / "good", ("without_mask", "with_mask"))
    dataset = load(DataConfig(dataset="facemask", data_dir=str(tmp_path / "good")))
    assert dataset.name == "facemask" and dataset.classes == ("with_mask", "without_mask")
    assert dataset.shape == (3, 100, 100) and len(dataset.y_test) == 2
    small = load(DataConfig(dataset="facemask", data_dir=str(tmp_path / "good"), image_size=8))
    assert small.shape == (3, 8, 8)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match=r"Cannot list .*: Permission denied"):
        read_folder(tmp_path, None, skip_bad=False)


@pytest.mark.parametrize("names", [("Train", "Test"), ("TRAIN", "test"), ("training", "Testing")])
def test_split_names_in_any_case_are_no_classes(names: tuple[str, str], tmp_path: Path) -> None:
    for name, shade in ((names[0], 10), (names[1], 90), ("Validation", 50)):
        for label, kind in enumerate(("with", "without")):
            (tmp_path / name / kind).mkdir(parents=True)
            Image.new("L", (4, 4), shade + label).save(tmp_path / name / kind / "a.png")
    raw = read_folder(tmp_path, None, False)
    assert raw.classes == ("with", "without") and raw.test is not None
    assert int(raw.train.x.min()) == 10 and int(raw.test.x.min()) == 90
    assert raw.notes == ("left out the folders Validation beside train and test",)
    (tmp_path / "cats").mkdir()
    with pytest.raises(UsageError, match="cats/ beside train and test"):
        read_folder(tmp_path, None, False)


def test_nothing_is_left_out_without_a_word(tmp_path: Path) -> None:
    for name in ("_x", "cat", "dog"):
        (tmp_path / name / ".cache").mkdir(parents=True)
        Image.new("L", (4, 4), 7).save(tmp_path / name / "a.png")
        Image.new("L", (4, 4), 7).save(tmp_path / name / ".cache" / "a.png")
    Image.new("L", (4, 4), 7).save(tmp_path / "stray.png")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    raw = read_folder(tmp_path, None, False)
    assert raw.classes == ("_x", "cat", "dog") and len(raw.train.y) == 3
    words = " ".join(raw.notes)
    for told in ("hidden folder cat/.cache", "1 images that lie in no class folder", "1 files whose names"):
        assert told in words


@pytest.mark.parametrize(("bits", "told"), [(10, True), (12, True), (16, False)])
def test_grey_of_more_than_eight_bits_keeps_its_levels(bits: int, told: bool, tmp_path: Path) -> None:
    """One scale for all pictures, so that the dark one stays darker than the bright one."""
    white = (1 << bits) - 1
    for name, level in (("bright", white), ("dark", white // 8)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 5), level, dtype=np.uint16)).save(tmp_path / name / "a.png")
    raw = read_folder(tmp_path, None, False)
    assert [int(image.max()) for image in raw.train.x] == [255, 31]
    assert any(f"of {bits} bits" in note for note in raw.notes) is told
