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


@dataclass(frozen=True)
class _Tree:
    """The files of one set: paths and class numbers in order, class names, and how many files were no images."""

    root: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    others: int


def read_folder(root: Path, size: int | None, skip_bad: bool, classes: Sequence[str] | None = None) -> Raw:
    """Read every image under ``root`` as RGB, uint8 [N, 3, height, width], in the order of the file names.

    Classes are the folder names, sorted; ``classes`` demands exactly these. ``size`` resizes to size x size by
    nearest neighbour; without it all images must share one size. Transparency is dropped, 16-bit grey is scaled to
    8 bits, rotation tags are not applied. Links to folders are followed at class level only. Raises
    :class:`UsageError` for a missing or empty class folder, other classes than demanded, images of different sizes
    without ``size``, and an image that cannot be read unless ``skip_bad``, which leaves it out with a note.
    """
    parts = [_tree(root / name) for name in ("train", "test")] if _is_split(root) else [_tree(root)]
    for tree in parts:
        if classes is not None and tree.classes != tuple(classes):
            raise UsageError(f"{tree.root} holds the classes {', '.join(tree.classes)}; expected {', '.join(classes)}.")
        if tree.classes != parts[0].classes:
            raise UsageError(
                f"{tree.root} holds the classes {', '.join(tree.classes)}, "
                f"but {parts[0].root} holds {', '.join(parts[0].classes)}; both need the same."
            )
    notes: list[str] = []
    shape = None if size is None else (3, size, size)
    read: list[Part] = []
    for tree in parts:
        part, bad = _load(tree, size, shape, skip_bad)
        shape = (3, part.x.shape[2], part.x.shape[3])
        read.append(part)
        if bad:
            first = bad[0].relative_to(root)
            notes.append(f"left out {len(bad):,} images that cannot be read, the first is {first}")
    if others := sum(tree.others for tree in parts):
        notes.append(f"left out {others:,} files whose names do not end like an image")
    return Raw(read[0], read[1] if len(read) > 1 else None, parts[0].classes, tuple(notes))


def _is_split(root: Path) -> bool:
    found = [name for name in ("train", "test") if (root / name).is_dir()]
    if len(found) == 1:
        missing = "test" if found == ["train"] else "train"
        raise UsageError(f"{root} holds {found[0]}/ but no {missing}/; give both, or point --data-dir at {found[0]}/.")
    return len(found) == 2


def _tree(root: Path) -> _Tree:
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "._")
        listed = [_files(folder) for folder in folders]
    except OSError as error:
        raise UsageError(f"Cannot list {error.filename or root}: {error.strerror or error}.") from None
    if not folders:
        raise UsageError(f"{root} holds no class folders; expected one folder of images a class.")
    if len(folders) == 1:
        raise UsageError(f"{root} holds one class only ({folders[0].name}); at least two class folders are needed.")
    for folder, (images, _) in zip(folders, listed, strict=True):
        if not images:
            raise UsageError(f"Class folder {folder} holds no images ({', '.join(sorted(_ENDINGS))}).")
    return _Tree(
        root=root,
        paths=tuple(path for images, _ in listed for path in images),
        labels=tuple(label for label, (images, _) in enumerate(listed) for _ in images),
        classes=tuple(folder.name for folder in folders),
        others=sum(others for _, others in listed),
    )


def _files(folder: Path) -> tuple[list[Path], int]:
    def complain(error: OSError) -> None:
        raise error

    names = [
        Path(place, name)
        for place, _, files in os.walk(folder, onerror=complain)
        for name in files
        if not name.startswith(".")
    ]
    images = sorted(path for path in names if path.suffix.lower() in _ENDINGS)
    return images, len(names) - len(images)


def _load(tree: _Tree, size: int | None, shape: tuple[int, int, int] | None, skip_bad: bool) -> tuple[Part, list[Path]]:
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
                pixels = decode(path, size)
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


def decode(path: Path, size: int | None) -> Pixels:
    """One image file as uint8 [3, height, width]; :class:`UsageError` naming the file where it cannot be read."""
    try:
        with Image.open(path) as image:
            rgb = _to_rgb(image)
        if size is not None:
            rgb = rgb.resize((size, size), Image.Resampling.NEAREST)
        return np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        known = not isinstance(error, UnidentifiedImageError)
        reason = (str(error).split("\n")[0] or type(error).__name__) if known else "no known image format"
        raise UsageError(
            f"Cannot read image {path} ({reason}); replace it, or leave such images out with --skip-bad."
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray((deep // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")
