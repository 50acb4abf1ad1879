"""The pictures of a report: originals beside what was reconstructed of them and the best guesses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedprivacy import folder
from fedprivacy.adversary.threat import Adversary
from fedprivacy.study.inversion.reconstructed import BEST, NULL, Case

SHOWN = 10
"""Pictures that are kept for the report, first ones first."""


def are_pictures(judged: Sequence[Case]) -> bool:
    """Whether the records are pictures; rows of features have one side of one value."""
    return bool(min(judged[0].truths.shape[2:]) > 1)


def save_pictures(place: Path, adversary: Adversary, observation: str, judged: Sequence[Case]) -> None:
    """The first pictures, beside what was reconstructed and the best guesses.

    Of single records those of each message in turn, of classes those of the first message.
    """
    if not are_pictures(judged):
        return
    order = [(case, i) for i in range(max(len(c.truths) for c in judged)) for case in judged if i < len(case.truths)]
    classes = judged[0].kind == "classes"
    chosen = [(judged[0], i) for i in range(len(judged[0].truths))][:SHOWN] if classes else order[:SHOWN]
    rows = [BEST, judged[0].bar, *([NULL] if all(NULL in case.images for case, _ in chosen) else [])]
    arrays = {"original": np.stack([case.truths[i] for case, i in chosen]).astype(np.float32)}
    for name in rows:
        arrays[name] = np.stack([np.clip(case.images[name][i], 0, 1) for case, i in chosen]).astype(np.float32)
        arrays[f"psnr of {name}"] = np.array([case.scores[name].psnr[i] for case, i in chosen])
    arrays["labels"] = np.array([case.labels[i] for case, i in chosen], dtype=np.int64)
    header = {"rows": rows, "title": f"{adversary}, {observation}", "kind": judged[0].kind}
    folder.write_arrays(place / "pictures" / f"{adversary.name}.safetensors", arrays, header)
