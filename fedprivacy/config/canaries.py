"""Which candidates serve as canaries of an audit, what is done to them, and what one coin decides. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fedprivacy.config.base import Part

Coins = Literal["record", "pair", "client"]


class CanaryConfig(Part):
    """The canaries of an audit. Without one: every candidate as it is, each with its own coin."""

    kind: Literal["as-is", "mislabelled", "out-of-distribution", "orthogonal", "opposite"] = "as-is"
    """What a canary is: an ordinary record; one with a wrong label; or random pixels (or features) with a random
    label; orthogonal: pixels (or features) that no other canary of its client has, so that gradients are nearly
    orthogonal, the strongest where updates are seen; opposite, for coins of clients: all records of a client are one
    that no other client has, with half of the classes as labels if the coin falls on one, with the other half if not,
    so that it moves models one way or the opposite way. Members and non-members are changed alike."""
    number: int | None = Field(default=None, ge=2)
    """Canaries of one federation, dealt over its clients (pairs of them where a coin chooses between two); the other
    candidates stay as they are and are not guessed. none: all candidates."""
    coins: Coins = "record"
    """What one coin decides. record: whether a record is in. pair: which of two records is in (replace-one). client:
    which half of its pool a client trains on, as a whole (replace-one for clients): one guess a client."""

    guesses: int | None = Field(default=None, ge=1)
    """Canaries that are guessed, half of them in: a number fixed before the run. none: the number from which the
    strongest adversary of the claim may expect most; where no curve stands behind the claim, the best of a tenth, two
    fifths and nine tenths of the canaries, with the error shared out among the three."""

    @model_validator(mode="after")
    def _consistent(self) -> CanaryConfig:
        if self.coins == "client" and (self.number is not None or self.kind not in ("as-is", "opposite")):
            raise ValueError(
                "coins = 'client' decides whole pools, as they are or opposite: leave other kinds, and "
                "the number of canaries, out"
            )
        if self.kind == "opposite" and self.coins != "client":
            raise ValueError("kind = 'opposite' makes the two halves of a client's pool: it needs coins = 'client'")
        return self
