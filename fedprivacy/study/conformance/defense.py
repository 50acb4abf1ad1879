"""What a defense promises: it acts on what it says it acts on, the same way each time, and tells what it proves."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fedprivacy.config.base import UsageError
from fedprivacy.federation import engine
from fedprivacy.federation.interfaces import Defense
from fedprivacy.privacy.accountant import claim
from fedprivacy.study.conformance.checked import Broken, Look, hold
from fedprivacy.study.conformance.federation import Stage
from fedprivacy.wire.codec import encode
from fedprivacy.wire.payload import Payload, Predictions, Update, Weights
from fedprivacy.wire.release import of_clients


@dataclass(frozen=True, eq=False)
class Defended:
    """A protocol with the defense built for it, or why it could not be built."""

    name: str
    stage: Stage
    defense: Defense | UsageError


def looks(tried: tuple[Defended, ...], delta: float) -> Iterator[tuple[str, Look]]:
    """The properties of a defense that was tried on several protocols."""
    able = [one for one in tried if not isinstance(one.defense, UsageError)]

    def fits() -> str:
        refused = [f"{one.name}: {one.defense}" for one in tried if isinstance(one.defense, UsageError)]
        hold(bool(able), f"it fits no protocol that was tried; {'; '.join(refused)}")
        return f"fits {', '.join(one.name for one in able)}"

    def acts() -> str:
        for one in able:
            for payload in _payloads(one):
                before = copy.deepcopy(encode(payload))
                sent = _outgoing(one, payload)
                hold(encode(payload) == before, f"it changes the {payload.kind} that it is given")
                hold(
                    encode(sent) == encode(_outgoing(one, payload)),
                    f"two calls on the same {payload.kind} differ: draw noise from a named seed of (root, "
                    "sender, round)",
                )
        return ""

    def runs() -> str:
        found = []
        for one in able:
            assert not isinstance(one.defense, UsageError)
            with tempfile.TemporaryDirectory() as folder:
                done = engine.run(one.stage.protocol, one.stage.env, Path(folder), one.defense)
            told = claim(done.events, delta, records=None)
            found.append(f"{one.name}: epsilon {told.epsilon:.3g}" if told.finite else f"{one.name}: no proof")
        return "; ".join(found)

    def matters() -> str:
        for one in able:
            for payload in _payloads(one):
                if encode(_outgoing(one, payload)) != encode(payload):
                    return ""
        raise Broken("nothing that it sends differs from what it was given")

    yield "it fits a protocol", fits
    yield "the same in, the same out", acts
    yield "it changes what is sent", matters
    yield "a defended federation runs", runs


def _payloads(one: Defended) -> Iterator[Payload]:
    """Made-up payloads of the kinds that the clients of a protocol send."""
    draw = torch.Generator().manual_seed(0)
    module = one.stage.env.workbench.module(one.stage.env.architecture(0))
    for release in of_clients(one.stage.releases):
        if release.kind == "predictions" and release.form in ("probabilities", "logits"):
            logits = torch.randn(6, len(one.stage.env.dataset.classes), generator=draw)
            soft = release.form == "probabilities"
            yield Predictions(logits.softmax(1), "probabilities") if soft else Predictions(logits, "logits")
        elif release.kind in ("weights", "update"):
            shapes = {name: t.shape for name, t in module.state_dict().items() if t.is_floating_point()}
            made = {name: 0.01 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}
            yield Weights(made) if release.kind == "weights" else Update(made)


def _outgoing(one: Defended, payload: Payload) -> Payload:
    assert not isinstance(one.defense, UsageError)
    update = getattr(one.defense, "outgoing_update", None)
    if isinstance(payload, Weights) and update is not None:
        found: Payload = update(Update(payload.tensors), "client-0", 1)
        return found
    return one.defense.outgoing(payload, "client-0", 1)
