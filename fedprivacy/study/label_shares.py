"""Each passive adversary estimates the clients' label distributions; what it found is written, no truth beside it."""

from __future__ import annotations

from pathlib import Path

from fedprivacy import folder
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.labels.observe import LabelEstimates, observe_labels
from fedprivacy.study.attempt import attempt
from fedprivacy.study.ran import Ran, common_start


def observe_label_shares(ran: Ran) -> None:
    """Write every passive adversary's estimate; a failure is written with its cause."""
    for adversary, source in ran.study.seats.labels:
        start = common_start(ran.protocol, ran.env) if source == "models" else None
        path = labels_path(ran.place, adversary)
        with attempt(path):
            view, knowledge = view_of([ran.done.transcript], adversary), ran.knowledge("labels", start=start)
            found = observe_labels(view, knowledge, source)
            arrays = {f"shares/{name}": shares for name, shares in found.shares.items()}
            header = {"order": list(found.shares), "observation": found.observation, "notes": list(found.notes)}
            folder.write_arrays(path, {**arrays, "prior": found.prior}, header)


def load_label_shares(path: Path) -> LabelEstimates | str:
    """The estimates that :func:`observe_label_shares` wrote, or the cause of a failure."""
    arrays, header = folder.read_arrays(path)
    if "failed" in header:
        return str(header["failed"])
    shares = {name: arrays[f"shares/{name}"] for name in header["order"]}
    return LabelEstimates(shares, arrays["prior"], header["observation"], tuple(header["notes"]))


def labels_path(place: Path, adversary: Adversary) -> Path:
    """Where a federation's folder holds an adversary's estimates of label distributions."""
    return place / "observed" / f"{adversary.name}--labels.safetensors"
