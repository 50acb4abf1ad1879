"""Updates up, averaged with momentum at the server; the model down."""

from dataclasses import dataclass, replace

import torch

from fedprivacy.federation import phases
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.wire.channel import change
from fedprivacy.wire.payload import Update, Weights
from fedprivacy.wire.release import Release
from rivalfed.payload import Bytes

MODEL, SPEED = "server/model", "server/speed"


@dataclass(frozen=True)
class Momentum:
    momentum: float = 0.5
    compact: bool = False

    def releases(self, federation):
        up = Release("update", "update", merged="mean", known_start=True, reference="received", loss="labels")
        up = replace(up, kind=Bytes.kind, opened="update") if self.compact else up
        return up, Release("weights", "weights", sender="server", receivers="clients", of="mix")

    def init(self, env):
        start = phases.start(env)
        model = start.state.parts[phases.model_part(0)]
        still = {name: torch.zeros_like(tensor) for name, tensor in model.items()}
        return RoundOutcome(start.state.having({MODEL: model, SPEED: still}), start.history)

    def round(self, state, round, env, channel):
        trained, held, sent = phases.private_phase(state, round, env), state.parts[MODEL], {}
        for client in env.senders(round):
            moved = change(held, trained.state.parts[phases.model_part(client)])
            packed = Bytes.of(moved) if self.compact else moved
            sent[f"client-{client}"] = channel.send(f"client-{client}", "server", packed)
        total = {n: sum(one.tensors[n] for one in sent.values()) for n in held}
        mean = channel.combined(sent, lambda: Update({n: t / len(sent) for n, t in total.items()}))
        speed = {n: self.momentum * state.parts[SPEED][n] + mean.tensors[n] for n in held}
        everyone = [f"client-{client}" for client in range(env.clients)]
        got = channel.send("server", everyone, Weights({n: held[n] + speed[n] for n in held}), "global").tensors
        parts = {MODEL: got, SPEED: speed, **{phases.model_part(client): got for client in range(env.clients)}}
        events = [phases.unprotected(client, round, "update") for client in env.senders(round)]
        return RoundOutcome(trained.state.having(parts, round), trained.history, events)

    def models(self, state, env):
        return {"global": (env.architecture(0), state.parts[MODEL])}
