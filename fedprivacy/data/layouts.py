"""Which arrays of a file, or of a mapping, are records and labels: the names that people and packages use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.data.raw import Array

LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_data", "train_labels", "test_data", "test_labels"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("x", "y"),
    ("features", "labels"),
    ("images", "labels"),
    ("data", "labels"),
    ("data", "target"),
)
"""Records and labels for training, then for testing; upper and lower case are one. Keras and this tool, MedMNIST
(arXiv 2110.14795), two more in use; a single set, among them Shokri et al. 2017 and scikit-learn."""

BESIDE = ("classes", "columns", "numeric", "categories_json")
"""What may stand beside them: names of the classes, and which columns are categories."""


@dataclass(frozen=True, eq=False)
class Named:
    """``x`` and ``y`` of the training set, and of the test set where there is one, by the names they had."""

    sets: tuple[tuple[str, Array, str, Array], ...]
    left_out: tuple[str, ...]


def named(arrays: Mapping[str, Array], where: str) -> Named:
    """The layout that most names of ``arrays`` fit. Raises :class:`UsageError` that says which are missing.

    A file with training arrays alone is a single set. What fits no role is left out, by name.
    """
    have = {name.lower(): name for name in arrays}
    fitting = [sum(key in have for key in layout) for layout in LAYOUTS]
    layout = LAYOUTS[fitting.index(max(fitting))] if any(fitting) else ("x", "y")
    present = [key in have for key in layout]
    if layout[0] in have and layout[1] in have and not any(present[2:]):
        layout = layout[:2]
    missing = [key for key in layout if key not in have]
    if missing:
        raise UsageError(
            f"{where} has no {', '.join(missing)} (it has {', '.join(arrays) or 'nothing'}); "
            "expected x_train, y_train, x_test, y_test, or x, y."
        )
    used = [have[key] for key in layout]
    sets = tuple((x, arrays[x], y, arrays[y]) for x, y in zip(used[::2], used[1::2], strict=True))
    known = {*used, *(have[key] for key in BESIDE if key in have)}
    return Named(sets, tuple(name for name in arrays if name not in known))
