"""Federations under a defense: reproducible, resumable, and with planted folds that are defended alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.config.run import RunConfig
from fedprivacy.defenses.gaussian import Gaussian
from fedprivacy.federation import engine
from fedprivacy.federation.interfaces import releases_of
from fedprivacy.federation.probes import probe_last_round
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.codec import same_bits

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("mutual", {}, {"name": "gaussian", "epsilon": 4.0}),
    ("mutual", {}, {"name": "dp-sgd", "sigma": 1.0}),
    ("mutual", {}, {"name": "memguard"}),
    ("ds-fl", {}, {"name": "noisy-vote", "sigma": 1.0}),
    ("fedavg", {"weighting": "uniform"}, {"name": "dp-fedavg", "epsilon": 4.0}),
    ("fedavg", {"weighting": "uniform"}, {"name": "secure-aggregation"}),
    ("fedavg", {}, {"name": "nfdp"}),
]


class Stop(BaseException):
    """A process that dies here."""


@pytest.mark.parametrize(("protocol", "options", "defense"), CASES, ids=lambda case: str(case)[:40])
def test_a_run_that_was_killed_goes_on_as_if_it_were_not(
    guarded: Callable[..., Any], tmp_path: Any, protocol: str, options: dict[str, Any], defense: dict[str, Any]
) -> None:
    def fresh() -> Any:
        return guarded(protocol, options, defense, rounds=3)

    def die(round: int) -> None:
        if round == 2:
            raise Stop

    whole = fresh().run(tmp_path / "whole")
    with pytest.raises(Stop):
        made = fresh()
        engine.run(made.protocol, made.env, tmp_path / "cut", made.defense, progress=die)
    resumed = fresh().run(tmp_path / "cut")
    assert resumed.transcript.messages == whole.transcript.messages
    assert resumed.events == whole.events
    assert all(same_bits(resumed.state.parts[p], whole.state.parts[p]) for p in whole.state.parts)


def test_planted_folds_are_answered_under_the_same_defense(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("mutual", {}, {"name": "gaussian", "sigma": 1.0, "options": {"project": False}})
    done = made.run(tmp_path / "run")
    probes = made.env.division.pool(0)[:40]
    transcripts = probe_last_round(
        made.protocol, made.env, done.before_last, probes, 1.0, tmp_path / "probes", made.defense
    )
    assert len(transcripts) == 2
    assert isinstance(made.defense, Gaussian)
    for transcript in transcripts:
        for message in transcript.messages:
            values = transcript.payload(message).values  # type: ignore[attr-defined]
            assert float(values.std()) > 0.8 * made.defense.deviation
    noises = [t.payload(t.messages[0]).values.flatten().numpy() for t in transcripts]  # type: ignore[attr-defined]
    assert abs(np.corrcoef(noises)[0, 1]) < 5 / np.sqrt(len(noises[0]))


def test_planted_folds_are_answered_by_private_models(guarded: Callable[..., Any], tmp_path: Any) -> None:
    """The private phase before the probes is private too: with great noise the models know nothing."""
    made = guarded("mutual", {}, {"name": "dp-sgd", "sigma": 1.0})
    done = made.run(tmp_path / "run")
    regular = made.env.division.public[-1]
    probed = probe_last_round(
        made.protocol, made.env, done.before_last, regular, 1.0, tmp_path / "probes", made.defense
    )
    honest = [m for m in done.transcript.messages if m.round == made.env.rounds and m.receiver == "server"]
    for one, other in zip(probed[0].messages, honest, strict=True):
        assert one.digest == other.digest


def test_no_defense_changes_nothing(small_config: Callable[..., RunConfig], tmp_path: Any) -> None:
    config = small_config()
    env, _ = resolve(config).environment(config.seed)
    protocol = resolve(config).protocol
    assert releases_of(protocol, env)
    done = engine.run(protocol, env, tmp_path)
    assert all(event.release == "predictions" for event in done.events)
    assert torch.isfinite(done.transcript.payload(done.transcript.messages[0]).values).all()  # type: ignore[attr-defined]
