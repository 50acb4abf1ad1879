"""Image folders: one folder a class, either at the top or inside train/ and test/."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fedprivacy.config.base import UsageError
from fedprivacy.data.raw import Part, Raw

Pixels = NDArray[np.uint8]

_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


_SPLIT = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_LOOKED_AT = ("val", "valid", "validation")
"""Folders beside train and test, whatever their case."""


@dataclass(frozen=True)
class _Tree:
    """The files of one set: paths and class numbers in order, class names, and what was left out, in words."""

    root: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]


def read_folder(root: Path, size: int | None, skip_bad: bool, classes: Sequence[str] | None = None) -> Raw:
    """Read every image under ``root`` as RGB, uint8 [N, 3, height, width], in the order of the file names.

    Classes are the folder names, sorted; ``classes`` demands exactly these. ``size`` resizes to size x size by
    nearest neighbour; without it all images must share one size. Transparency is dropped, grey of more than 8 bits is
    scaled from its own depth to 8 bits, rotation tags are not applied. Links to folders are followed at class level
    only. Whatever is left out is told in a note. Raises :class:`UsageError` for a missing or empty class folder, other
    classes than demanded, images of different sizes without ``size``, and an image that cannot be read unless
    ``skip_bad``, which leaves it out with a note.
    """
    try:
        places, left_out = _split(root)
        parts = [_tree(place) for place in places]
    except OSError as error:
        raise UsageError(f"Cannot list {error.filename or root}: {error.strerror or error}.") from None
    for tree in parts:
        if classes is not None and tree.classes != tuple(classes):
            raise UsageError(f"{tree.root} holds the classes {', '.join(tree.classes)}; expected {', '.join(classes)}.")
        if tree.classes != parts[0].classes:
            raise UsageError(
                f"{tree.root} holds the classes {', '.join(tree.classes)}, "
                f"but {parts[0].root} holds {', '.join(parts[0].classes)}; both need the same."
            )
    notes: list[str] = []
    white = _white(parts)
    if white < 65535:
        notes.append(f"grey pictures of {white.bit_length()} bits were scaled to 8")
    shape = None if size is None else (3, size, size)
    read: list[Part] = []
    for tree in parts:
        part, bad = _load(tree, size, shape, skip_bad, white)
        shape = (3, part.x.shape[2], part.x.shape[3])
        read.append(part)
        if bad:
            first = bad[0].relative_to(root)
            notes.append(f"left out {len(bad):,} images that cannot be read, the first is {first}")
    told = [words for tree in parts for words in tree.left_out]
    if left_out:
        told.append(f"the folders {', '.join(left_out)} beside train and test")
    notes += [f"left out {words}" for words in told]
    return Raw(read[0], read[1] if len(read) > 1 else None, parts[0].classes, tuple(notes))


def _split(root: Path) -> tuple[list[Path], list[str]]:
    """The folders of the training and the test set, in any case, and what lies beside them; or the root alone."""
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir()]
    found: dict[str, Path] = {}
    for entry in folders:
        part = _SPLIT.get(entry.name.lower())
        if part in found:
            raise UsageError(f"{root} holds both {found[part].name}/ and {entry.name}/; keep one of them.")
        if part is not None:
            found[part] = entry
    if not found:
        return [root], []
    if len(found) == 1:
        (here,), missing = found.values(), "test" if "train" in found else "train"
        name = here.name
        raise UsageError(f"{root} holds {name}/ but no {missing}/; give both, or point --data-dir at {name}/.")
    beside = [entry.name for entry in folders if entry not in found.values() and not _hidden(entry)]
    stray = [name for name in beside if name.lower() not in _LOOKED_AT]
    if stray:
        raise UsageError(f"{root} holds {stray[0]}/ beside train and test: a class belongs into both of them.")
    return [found["train"], found["test"]], beside


def _hidden(entry: Path) -> bool:
    return entry.name.startswith((".", "__"))


def _tree(root: Path) -> _Tree:
    entries = sorted(root.iterdir())
    folders = [entry for entry in entries if entry.is_dir() and not _hidden(entry)]
    if not folders:
        raise UsageError(f"{root} holds no class folders; expected one folder of images a class.")
    if len(folders) == 1:
        raise UsageError(f"{root} holds one class only ({folders[0].name}); at least two class folders are needed.")
    left_out: list[str] = []
    paths: list[Path] = []
    labels: list[int] = []
    others = 0
    for label, folder in enumerate(folders):
        images, strange, hidden = _files(folder)
        if not images:
            raise UsageError(f"Class folder {folder} holds no images ({', '.join(sorted(_ENDINGS))}).")
        paths += images
        labels += [label] * len(images)
        others += strange
        left_out += [f"the hidden folder {place.relative_to(root)}" for place in hidden]
    if others:
        left_out.append(f"{others:,} files whose names do not end like an image, or that are no plain files")
    beside = sum(entry.suffix.lower() in _ENDINGS for entry in entries if not entry.is_dir())
    if beside:
        left_out.append(f"{beside:,} images that lie in no class folder")
    return _Tree(root, tuple(paths), tuple(labels), tuple(folder.name for folder in folders), tuple(left_out))


def _files(folder: Path) -> tuple[list[Path], int, list[Path]]:
    """Images of a class in order, how many other files there are, and hidden folders."""

    def complain(error: OSError) -> None:
        raise error

    images: list[Path] = []
    hidden: list[Path] = []
    others = 0
    for place, folders, files in os.walk(folder, onerror=complain):
        hidden += [Path(place, name) for name in folders if _hidden(Path(name))]
        folders[:] = [name for name in folders if not _hidden(Path(name))]
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            if path.suffix.lower() in _ENDINGS and path.is_file():
                images.append(path)
            else:
                others += 1
    return sorted(images), others, hidden


def _load(
    tree: _Tree, size: int | None, shape: tuple[int, int, int] | None, skip_bad: bool, white: int
) -> tuple[Part, list[Path]]:
    """Decode into one array; threads, because Pillow lets go of the interpreter while it decodes."""
    model = tree.paths[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if shape is None:
            model, shape = _first_good(tree, skip_bad)
        out = np.empty((len(tree.paths), *shape), dtype=np.uint8)

        def fill(index: int) -> Path | None:
            path = tree.paths[index]
            try:
                pixels = decode(path, size, white)
            except UsageError:
                if not skip_bad:
                    raise
                return path
            if pixels.shape != out.shape[1:]:
                raise UsageError(
                    f"Images differ in size: {path} is {pixels.shape[2]}x{pixels.shape[1]}, others such as {model} "
                    f"are {out.shape[3]}x{out.shape[2]}; give --image-size N."
                )
            out[index] = pixels
            return None

        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            failed = list(pool.map(fill, range(len(tree.paths))))
    good = np.array([path is None for path in failed])
    if not good.any():
        raise UsageError(f"None of the {len(good):,} images under {tree.root} can be read.")
    part = Part(out, np.array(tree.labels, dtype=np.int64)).take(np.flatnonzero(good))
    return part, [path for path in failed if path is not None]


def _first_good(tree: _Tree, skip_bad: bool) -> tuple[Path, tuple[int, int, int]]:
    for path in tree.paths:
        try:
            _, height, width = decode(path, None).shape
        except UsageError:
            if not skip_bad:
                raise
        else:
            return path, (3, height, width)
    raise UsageError(f"None of the {len(tree.paths):,} images under {tree.root} can be read.")


def decode(path: Path, size: int | None, white: int = 65535) -> Pixels:
    """One image file as uint8 [3, height, width]; ``white``: the level of white in grey of more than 8 bits.

    :class:`UsageError` naming the file where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            rgb = _to_rgb(image, white)
        if size is not None:
            rgb = rgb.resize((size, size), Image.Resampling.NEAREST)
        return np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        known = not isinstance(error, UnidentifiedImageError)
        reason = (str(error).split("\n")[0] or type(error).__name__) if known else "no known image format"
        raise UsageError(
            f"Cannot read image {path} ({reason}); replace it, or leave such images out with --skip-bad."
        ) from error


def _to_rgb(image: Image.Image, white: int) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64).clip(0)
        return Image.fromarray((deep * 255 // white).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _white(trees: Sequence[_Tree]) -> int:
    """The white of grey pictures of more than 8 bits: the least depth that holds every pixel of all of them.

    12-bit pictures of cameras and scanners come in 16-bit files; taken for 16 bits they would all be near black. One
    white for all of them, so that they can be compared. Where there are none it is that of 16 bits.
    """
    brightest = 0
    for path in (path for tree in trees for path in tree.paths):
        try:
            with warnings.catch_warnings(), Image.open(path) as image:
                warnings.simplefilter("ignore")
                if image.mode.startswith("I"):
                    brightest = max(brightest, int(np.asarray(image).max(initial=0)))
        except Exception:  # told where it is decoded
            continue
    bits = brightest.bit_length() or 16
    return next((1 << depth) - 1 for depth in (8, 10, 12, 14, 16, 32) if depth >= bits)
