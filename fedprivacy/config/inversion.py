"""What the attacker of single messages knows and may spend. No torch in here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedprivacy.config.base import Part

Names = Annotated[tuple[str, ...], Field(strict=False)]
METHODS = (
    "spear",
    "analytic",
    "idlg",
    "dlg",
    "cosine",
    "local-steps",
    "prior",
    "dictionary",
    "paired-logits",
    "surrogate",
)


class InversionConfig(Part):
    """Settings of the attack `inversion`."""

    knowledge: Literal["strong", "fair", "blind"] = "fair"
    """strong: labels given. fair: labels recovered, steps and learning rate known. blind: weights and update alone."""
    methods: Names = ()
    """Inversion attacks to run, of spear (whole batches behind a dense ReLU layer), analytic, idlg (labels recovered)
    or dlg (labels found too), cosine, local-steps (simulated one by one), prior (begins among pictures that public
    records allow), dictionary (an update of many records as a mixture of public ones); of predictions dictionary (a
    mixture of simulated clients), paired-logits, surrogate and prior. Empty runs all that fit, with idlg."""
    first_round: int = Field(default=1, ge=1)
    """Messages are inverted from this round on; an active server sends its malicious model in it."""
    messages: int = Field(default=10, ge=1)
    """Messages that are inverted, client after client, round after round."""
    most_records: int = Field(default=16, ge=1)
    """Records behind one message that are reconstructed one by one; of more, one image a class, unless the rank of a
    first dense layer tells them apart."""
    iterations: int = Field(default=400, ge=1)
    """Iterations of the cosine attack, and about as many of the others."""
    restarts: int = Field(default=1, ge=1)
    """Starts of each iterative attack; the one of lowest loss counts."""
    adaptive: bool = True
    """Let the attacker know the defense, such as which coordinates were cut off."""
    bins: int = Field(default=256, ge=2)
    """Rows of the imprint layer that an active server sends."""
