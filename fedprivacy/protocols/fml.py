"""Federated mutual learning (Shen et al. 2020, arXiv 2006.16765).

Each client has a private model of any architecture and a copy of a common one, the meme. A round: the meme is
downloaded; both train on the same private batches, each on the labels and towards the other's predictions; the meme is
uploaded and averaged. The private model never leaves, and is the one that counts; the meme is tested beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fedprivacy.config.protocols import FmlOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome, releases_of
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.distillation import fml_losses
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.payload import Weights


@dataclass(frozen=True)
class Fml:
    """The protocol with its options. ``server/model`` is the meme."""

    options: FmlOptions

    def check(self, env: Environment) -> None:
        averaging.known_model(env, "fml", "meme", self.meme(env), "meme")

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fml")
        outcome = phases.start(env)
        meme, _ = averaging.initial(env, self.meme(env))
        return RoundOutcome(outcome.state.having({averaging.GLOBAL: meme}), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        parts: dict[str, Part] = {}
        history: list[HistoryRow] = []
        memes: dict[int, Part] = {}
        for client in env.participants(round):
            changed, rows, memes[client] = self._trained(state, round, env, client)
            history += rows
            parts |= changed
        senders = env.senders(round)
        uploads = {client: memes[client] for client in senders}
        by_records = self.options.weighting == "records"
        mean = averaging.averaged(channel, env, round, uploads, by_records, "meme")
        received = averaging.broadcast(channel, env, round, mean or Weights(state.parts[averaging.GLOBAL]))
        events = [phases.unprotected(c, round, release.name) for c in senders for release in releases_of(self, env)]
        return RoundOutcome(state.having({**parts, averaging.GLOBAL: received}, round), history, events)

    def held(self, client: int) -> str:
        return averaging.GLOBAL

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        parts, rows, meme = self._trained(state, round, env, client)
        return LocalWork(parts, rows, Weights(meme))

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {**phases.own_models(state, env), "server": (self.meme(env), state.parts[averaging.GLOBAL])}

    def meme(self, env: Environment) -> str:
        """Architecture of the meme."""
        return self.options.meme or env.settings.training.model

    def label_weights(self, round: int, rounds: int) -> tuple[float, float]:
        """alpha and beta of a round; under the dynamic schedule they grow after each third of the rounds."""
        drops = thirds_done(round, rounds) if self.options.schedule == "dynamic" else 0
        return min(1.0, self.options.alpha + 0.2 * drops), min(1.0, self.options.beta + 0.4 * drops)

    def _trained(
        self, state: FederationState, round: int, env: Environment, client: int
    ) -> tuple[dict[str, Part], list[HistoryRow], Part]:
        """A client's parts after local training, what each pass of the private model measured, and its meme."""
        private = phases.load(env, state, client)
        meme = env.workbench.learner(self.meme(env), state.parts[averaging.GLOBAL], slot="meme")
        alpha, beta = self.label_weights(round, env.rounds)
        for learner in (private, meme):
            learner.scale_lr(self.options.lr_drop ** thirds_done(round, env.rounds))

        def step(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            own: Tensor = private.module(x)
            common: Tensor = meme.module(x)
            of_own, of_meme = fml_losses(own, common, labels, alpha, beta, self.options.compat == "pfllib")
            return of_own + of_meme, own

        epochs = averaging.fitted_together([private, meme], env, client, round, step)
        return phases.store(env, client, private), phases.rows(epochs, round, client, "private"), meme.weights()


def thirds_done(round: int, rounds: int) -> int:
    """Whole thirds of the rounds that lie before ``round``: 0, 1 or 2."""
    return min(2, 3 * (round - 1) // rounds)
