"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 as torchvision stores them on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.data.raw import Part, Raw
from fedprivacy.torchvision_guard import import_torchvision

_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def read_torchvision(name: str, folder: Path, download: bool) -> Raw:
    """Read a named set from ``folder``; nothing is fetched unless ``download``.

    CIFAR's official files are pickles; torchvision opens them only after their published checksums match. Raises
    :class:`UsageError` where the files are missing, damaged or cannot be fetched, and KeyError on another name.
    """
    maker = getattr(import_torchvision().datasets, _CLASSES[name])
    parts: list[Part] = []
    classes: tuple[str, ...] = ()
    for train in (True, False):
        try:
            stored = maker(root=str(folder), train=train, download=download)
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            advice = "check the connection and the space on the disk" if download else "add --download to fetch it"
            raise UsageError(f"Data set '{name}' cannot be read from {folder} ({reason}); {advice}.") from error
        parts.append(_part(stored))
        classes = tuple(str(label) for label in stored.classes)
    return Raw(parts[0], parts[1], classes)


def _part(stored: Any) -> Part:
    x = np.asarray(stored.data, dtype=np.uint8)
    channels_first = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return Part(np.ascontiguousarray(channels_first), np.asarray(stored.targets, dtype=np.int64))
