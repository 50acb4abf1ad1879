"""Whether it pays to train the clients of one federation side by side, where today they train in turn.

    python benchmarks/clients_abreast.py [--protocol fedavg,mutual] [--turns 5]

Federations of five clients, the default one (`mlp` on 28x28 digits) and one of `mlp-small` on 8x8 digits, are taken to
their third round. Every fit of that round is kept as it began, done again in turn, and again with all clients of a
phase as one computation. What the round would take is its own time less that of the fits in turn and plus that at once:
nothing else in it would change. Of several turns the least counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measure import cpu

import fedprivacy
from fedprivacy.training.abreast import Fit, answered
from fedprivacy.training.learner import Learner, label_loss
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

ROUNDS = 3
SMALL = {"dataset": "digits", "model": "mlp-small", "candidates": 150, "public_size": 16, "auxiliary": 150}
FEDERATIONS: dict[str, dict[str, Any]] = {"default": {}, "mlp-small on 8x8 digits": SMALL}
Begun = Callable[[], Fit]


def recorded(kept: list[Begun], bench: Any, model: str) -> Callable[..., Any]:
    """``Learner.fit``, which keeps how each fit began."""
    fit = Learner.fit

    def kept_too(learner: Learner, records: Any, epochs: int, seed: Any, loss: Any = label_loss, **how: Any) -> Any:
        weights, moments, slot = learner.weights(), learner.moments(), f"again {len(kept)}"
        size = how.get("batch_size") or learner.config.batch_size
        rest = loss, how.get("shuffle", True), how.get("even", False), size
        kept.append(lambda: Fit(bench.learner(model, weights, moments, slot), records, epochs, seed, *rest))
        return fit(learner, records, epochs, seed, loss, **how)

    return kept_too


def in_turn(fits: list[Fit]) -> None:
    """One after the other."""
    for one in fits:
        how: dict[str, Any] = {"shuffle": one.shuffle, "even": one.even, "batch_size": one.batch_size}
        one.learner.fit(one.records, one.epochs, one.seed, one.loss, **how)


def measured(name: str, settings: dict[str, Any], turns: int) -> tuple[int, float, float, float]:
    """Fits of a round, and cpu-seconds of the round, of its fits in turn, and of the same at once."""
    study = fedprivacy.Study.of(name, rounds=ROUNDS, **settings)
    env = study.environment(0)[0]
    state, kept, plain = study.protocol.init(env).state, list[Begun](), Learner.fit
    for number in range(1, ROUNDS):
        state = study.protocol.round(state, number, env, Channel(number, MemoryStore())).state

    def last() -> None:
        study.protocol.round(state, ROUNDS, env, Channel(ROUNDS, MemoryStore()))

    Learner.fit = recorded(kept, env.workbench, env.architecture(0))  # type: ignore[method-assign]
    last()
    Learner.fit = plain  # type: ignore[method-assign]

    def again() -> list[Fit]:
        return [begun() for begun in kept]

    found = []
    for _ in range(turns):
        found.append((cpu(last), cpu(lambda: in_turn(again())), cpu(lambda: answered(again()))))
    whole, turn, once = map(min, zip(*found, strict=True))
    return len(kept), whole, turn, once


def main() -> None:
    """A row a protocol."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--protocol", default="fedavg,mutual")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    heads = ("federation", "fits", "a round, ms", "fits in turn, ms", "at once, ms", "the round would take")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name in given.protocol.split(","):
        for what, settings in FEDERATIONS.items():
            fits, *spent = measured(name, settings, given.turns)
            whole, turn, once = (1e3 * seconds for seconds in spent)
            share = (whole - turn + once) / whole
            print(f"| {name}, {what} | {fits} | {whole:.0f} | {turn:.0f} | {once:.0f} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
