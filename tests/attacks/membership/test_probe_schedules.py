"""Probes on every protocol that shares predictions: a first exposure is clean, a record trained on is spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.assemble import score_target, signals_of
from fedprivacy.attacks.membership.observations.probes import SURROGATES, Probes
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.study.planted import is_static, plant
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.transcript import Transcript

SHARING = [name for name in CARDS if resolve(RunConfig(protocol=name)).wire.answers_queries]
SHORT = {
    "fedmd": {"transfer_epochs": 1},
    "cfd": {"distill_epochs": 1, "dual_epochs": 1, "bits_up": 8},
    "mutual": {"public_epochs": 1},
    "ds-fl": {"distill_epochs": 1},
}


def observed(config: Any, where: Path) -> tuple[Observed, Knowledge, list[Transcript], Any]:
    study = resolve(config)
    env, played = study.environment(0)
    done = engine.run(study.protocol, env, where)
    known = played.division.auxiliary
    knowledge = Knowledge(config.attack, 1, env.dataset, played.candidates, known, env.workbench, wire=study.wire)
    told = plant(Ran(study, 0, False, played, env, None, done, where), knowledge)
    view = view_of(told, Adversary("server", "active"))
    return Probes().observe(view, knowledge), knowledge, told, played


@pytest.mark.parametrize("protocol", SHARING)
@pytest.mark.parametrize("schedule", ["last", "spread"])
@pytest.mark.parametrize("public_set", ["dynamic", "static"])
def test_every_probe_is_seen_clean_once_and_spent_afterwards(
    protocol: str, schedule: str, public_set: str, small_config: Callable[..., Any], tmp_path: Path
) -> None:
    config = small_config(
        protocol=protocol,
        options=SHORT.get(protocol, {}),
        rounds=3,
        data={"public_set": public_set, "candidates": 20, "auxiliary": 10, "public_size": 20},
        attack={"schedule": schedule, "planted_share": 0.5},
    )
    found, _, _, _ = observed(config, tmp_path)
    fresh = found.seen & found.clean
    assert (fresh.sum(axis=0) <= 1).all()
    if schedule == "last":
        assert found.seen.shape[0] == 1 and fresh.all()
    elif is_static(resolve(config).wire):
        assert found.seen.shape[0] == 3 and not fresh[1:].any()
        np.testing.assert_array_equal(found.seen[0], found.seen[2])
        assert 0 < fresh[0].sum() <= 10 and any("seen again" in note for note in found.notes)
    else:
        assert fresh.sum() == found.seen.sum() > 10
        assert len(np.flatnonzero(fresh.any(axis=1))) == 3
    assert np.isfinite(found.logp[:, found.seen]).all()


def test_answers_after_training_on_a_record_are_never_scored(small_config: Callable[..., Any], tmp_path: Path) -> None:
    """What a client says of a spent probe is changed beyond recognition; no score moves."""
    config = small_config(rounds=3, data={"public_set": "static"}, attack={"schedule": "spread"})
    found, knowledge, _, played = observed(config, tmp_path)
    labels = knowledge.dataset.y_train
    spoilt = found.logp.copy()
    spoilt[:, ~found.clean] = np.log(np.full(10, 0.1))

    def scores(logp: np.ndarray[Any, Any]) -> dict[str, Any]:
        seen = Observed(logp, found.seen, found.clean, None)
        mine = np.flatnonzero(played.owners == 0)
        signals = signals_of(seen, [], 0, mine, labels[knowledge.candidates], labels[knowledge.auxiliary], True)
        given: dict[str, Any] = {}
        for combine in ("mean", "last", "max"):
            attack = config.attack.model_copy(update={"combine": combine})
            given |= {f"{name}, {combine}": s for name, s in score_target(signals, attack).scores.items()}
        return given

    plain, other = scores(found.logp), scores(spoilt)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, other[name])
    assert len(plain) > 10 and all(np.isfinite(np.asarray(values)).any() for values in plain.values())


def test_predictions_on_alternative_folds_are_those_before_training(
    small_config: Callable[..., Any], tmp_path: Path
) -> None:
    """With probes in the last fold a client answers as its model stood after the private phase of that round."""
    config = small_config(protocol="cfd", options={**SHORT["cfd"], "bits_up": 32})
    env, _ = resolve(config).environment(0)
    found, knowledge, told, _ = observed(config, tmp_path)
    assert len(told) > 2 and all(f.round < 2 for f in told[0].folds)
    protocol: Any = resolve(config).protocol
    before = engine.run(protocol, env, tmp_path / "again").before_last
    private = protocol.private_phase(before, 2, env).state
    x = env.dataset.x_train[knowledge.candidates]
    logits = env.workbench.logits("mlp", private.parts["client-1/model"], x).double()
    np.testing.assert_allclose(found.logp[1, 0], logits.log_softmax(1).numpy(), atol=1e-4)


def test_one_bit_labels_and_their_changes_are_decoded(small_config: Callable[..., Any], tmp_path: Path) -> None:
    """CFD codes changes since the round before; a planted fold's labels come out as the classes that were predicted."""
    config = small_config(protocol="cfd", options={**SHORT["cfd"], "bits_up": 1, "delta": "on"}, rounds=3)
    env, _ = resolve(config).environment(0)
    found, knowledge, _, _ = observed(config, tmp_path)
    protocol: Any = resolve(config).protocol
    before = engine.run(protocol, env, tmp_path / "again").before_last
    private = protocol.private_phase(before, 3, env).state
    logits = env.workbench.logits("mlp", private.parts["client-2/model"], env.dataset.x_train[knowledge.candidates])
    np.testing.assert_array_equal(found.logp[2, 0].argmax(1), logits.argmax(1).numpy())
    assert found.floor["hard-label"] > 0


def test_surrogates_of_the_target_are_made_only_on_request(small_config: Callable[..., Any], tmp_path: Path) -> None:
    config = small_config(attack={"statistics": ("distil-lira",), "surrogate_epochs": 1})
    found, knowledge, _, _ = observed(config, tmp_path / "asked")
    assert found.surrogate_logp is not None
    assert found.surrogate_logp.shape == (3, SURROGATES, len(knowledge.candidates), 10)
    assert np.ptp(found.surrogate_logp, axis=1).max() > 1e-6
    plain, _, _, _ = observed(small_config(), tmp_path / "plain")
    assert plain.surrogate_logp is None
