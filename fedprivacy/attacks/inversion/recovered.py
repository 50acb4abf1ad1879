"""What an adversary reconstructed, to a file and back. No truth is in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedprivacy import folder
from fedprivacy.adversary.threat import Float, Int


@dataclass(frozen=True, eq=False)
class Recovered:
    """What one message gave: ``images`` [R, C, H, W] in pixels, not cut to [0, 1], and ``labels`` [R], -1 unknown.

    ``round``, ``client`` and ``number`` as in :class:`~fedprivacy.attacks.inversion.messages.Sent`. ``records``: one
    image a record, in any order; ``classes``: image i stands for class ``labels[i]``. ``attack``: the one
    chosen, without any truth, and its own ``loss``; ``others``: the images of every attack that ran.
    ``counts`` [classes]: records of each class, where an attack that seeks one image a class tells them.
    """

    round: int
    client: int
    number: int
    kind: Literal["records", "classes"]
    images: Float
    labels: Int
    attack: str
    loss: float = float("nan")
    others: Mapping[str, Float] = field(default_factory=dict)
    counts: Float | None = None


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """All of one adversary. ``observation`` names what was read, ``card`` what was known, ``notes`` what to tell."""

    observation: str
    found: tuple[Recovered, ...]
    card: Mapping[str, str]
    notes: tuple[str, ...] = ()


def save(path: Path, result: Reconstructions) -> None:
    """Write ``result`` as safetensors."""
    arrays: dict[str, Any] = {}
    rows = []
    for place, one in enumerate(result.found):
        arrays[f"{place}/images"], arrays[f"{place}/labels"] = one.images.astype(np.float32), one.labels
        if one.counts is not None:
            arrays[f"{place}/counts"] = one.counts
        for name, images in one.others.items():
            arrays[f"{place}/of/{name}"] = images.astype(np.float32)
        rows.append(
            {
                **{name: getattr(one, name) for name in ("round", "client", "number", "kind", "attack")},
                "loss": one.loss if np.isfinite(one.loss) else None,
                "others": list(one.others),
            }
        )
    header = {
        "observation": result.observation,
        "found": rows,
        "card": dict(result.card),
        "card order": list(result.card),
        "notes": list(result.notes),
    }
    folder.write_arrays(path, arrays, header)


def load(path: Path) -> Reconstructions | str:
    """What :func:`save` wrote, or the cause of a failure."""
    arrays, header = folder.read_arrays(path)
    if "failed" in header:
        return str(header["failed"])
    found = []
    for place, row in enumerate(header["found"]):
        others = {name: arrays[f"{place}/of/{name}"].astype(np.float64) for name in row.pop("others")}
        loss = row.pop("loss")
        images, labels = arrays[f"{place}/images"].astype(np.float64), arrays[f"{place}/labels"]
        found.append(
            Recovered(
                **row,
                images=images,
                labels=labels,
                loss=np.nan if loss is None else loss,
                others=others,
                counts=arrays.get(f"{place}/counts"),
            )
        )
    card = {name: header["card"][name] for name in header["card order"]}
    return Reconstructions(header["observation"], tuple(found), card, tuple(header["notes"]))
