"""Joint decoding of predictions on tiny federations: every form of payload, nulls, planted leaks, partial knowledge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedprivacy.attacks.membership.observations import joint_predictions
from fedprivacy.attacks.membership.observations.joint_predictions import UNASKED, Grade, JointPredictions, JointProbes
from fedprivacy.attacks.membership.received import answers
from fedprivacy.attacks.membership.unrolled.descent import Descent
from fedprivacy.attacks.membership.unrolled.order_noise import drawn, noises
from fedprivacy.attacks.membership.unrolled.situation import ANEW, UNHEARD, situation
from fedprivacy.metrics.roc import auc

Followed = Callable[..., Any]
STEPS = 5


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"default": Grade(STEPS, 1), "thorough": Grade(2, 2)}
    monkeypatch.setattr(joint_predictions, "PASSIVE", few)
    monkeypatch.setattr(joint_predictions, "ACTIVE", {**few, "default": Grade(0, 5)})


FORMS: list[dict[str, Any]] = [
    {},
    {"options": {"payload": "losses"}},
    {"options": {"payload": "labels", "kl_direction": "peer_own"}},
    {"options": {"payload": "logits", "peer_mode": "mean"}},
    {"defense": {"name": "quantise", "options": {"bits": 4}}},
    {"defense": {"name": "top-k", "options": {"k": 3}}},
    {"defense": {"name": "gaussian", "sigma": 0.005}},
    {"protocol": "fedmd", "options": {"transfer_epochs": 1}},
    {"protocol": "ds-fl", "data": {"public_set": "static"}},
    {"protocol": "fedkd-hybrid"},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_was_sent_tells_of_the_coins_in_every_form(form: dict[str, Any], followed: Followed):
    made = followed(clients=2, **form)
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert observed.scores is not None and observed.scores.shape == (2, 1, 80)
    assert np.isfinite(observed.scores[made.owner, 0, np.arange(80)]).all()
    assert made.mean_auc(observed) > 0.58


def test_planted_candidates_have_conditional_references_and_scores(followed: Followed):
    made = followed(planted=True, clients=2)
    observed = JointProbes().observe(made.view, made.knowledge)
    assert observed.simulated_logp is not None and observed.simulated_in is not None
    assert observed.simulated_logp.shape == (2, 10, 1, 80, 10)
    assert not observed.simulated_in[0][:, made.owner == 1].any()
    assert 0 < observed.simulated_in[0][:, made.owner == 0].mean() < 1
    assert made.mean_auc(observed) > 0.65


@pytest.mark.parametrize("defense", [{"name": "label-only"}, {"name": "quantise", "options": {"bits": 2}}])
def test_replays_are_read_out_of_what_would_arrive_of_them(defense: dict[str, Any], followed: Followed):
    made = followed(planted=True, defense=defense)
    found = JointProbes().observe(made.view, made.knowledge)
    own, replayed = (np.unique(a[~np.isnan(a)].round(9)) for a in (found.logp, found.simulated_logp))
    # A label leaves two values of a probability, two bits a handful; logits would leave as many as there are answers.
    assert 1 < len(replayed) < 60 and len(own) < 60
    if defense["name"] == "label-only":
        assert set(replayed) == set(own)


def test_without_the_noise_of_an_order_nearly_all_coins_are_found(followed: Followed, monkeypatch: pytest.MonkeyPatch):
    """Whole batches: nothing but the coins is left unknown."""
    monkeypatch.setattr(joint_predictions, "PASSIVE", {"default": Grade(25, 1), "thorough": Grade(25, 1)})
    made = followed(clients=2, training={"local_epochs": 8, "batch_size": 64})
    assert made.mean_auc(JointPredictions().observe(made.view, made.knowledge)) > 0.85


def test_coins_that_were_drawn_again_are_not_found(followed: Followed):
    made = followed(clients=2)
    observed = JointPredictions().observe(made.view, made.knowledge)
    draw = np.random.default_rng(0)
    again = [made.mean_auc(observed, draw.random(len(made.coins)) < 0.5) for _ in range(200)]
    assert np.mean(again) == pytest.approx(0.5, abs=0.03)
    # Two clients with 40 candidates each: the standard error of the mean of two areas is .065.
    assert np.mean(np.abs(np.array(again) - 0.5) > 1.96 * 0.065) < 0.12


def test_the_answers_of_another_client_tell_nothing(followed: Followed):
    made = followed(clients=2)
    told = joint_predictions._told(made.view, made.knowledge)
    found = []
    for client in (0, 1):
        known = situation(made.view, made.knowledge, client, told[1 - client])
        replays = drawn(known.replay, known.private, known.asked, known.pool.prior, 1, 0, 1)
        noise = noises(known.readings, replays)
        odds = Descent(STEPS).odds(known.client, known.start, known.readings, noise, 1).numpy()
        truth = made.coins[known.pool.places]
        found.append(auc(odds[truth].astype(float), odds[~truth].astype(float)))
    assert 0.3 < np.mean(found) < 0.7


def test_clients_that_learn_nothing_tell_nothing(followed: Followed):
    made = followed(clients=2, training={"lr": 1e-12})
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert 0.3 < made.mean_auc(observed) < 0.7


def test_candidates_that_are_not_known_are_not_scored(followed: Followed):
    made = followed(clients=2, attack={"known_share": 0.5})
    observed = JointPredictions().observe(made.view, made.knowledge)
    known = made.knowledge.known
    assert observed.scores is not None and known is not None
    for client in (0, 1):
        mine = made.owner == client
        assert np.isnan(observed.scores[client, 0, mine & ~known]).all()
        assert np.isfinite(observed.scores[client, 0, mine & known]).all()
    assert any("stand in" in note for note in observed.notes)


def test_owners_need_not_be_known(followed: Followed):
    """Every candidate is asked of every client; those of others look like records that were not trained on."""
    made = followed(clients=2, attack={"owners": "unknown"})
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert observed.scores is not None and np.isfinite(observed.scores).all()
    assert made.mean_auc(observed) > 0.6
    own = [observed.scores[client, 0][(made.owner == client) & made.coins].mean() for client in (0, 1)]
    rest = [observed.scores[client, 0][(made.owner != client) | ~made.coins].mean() for client in (0, 1)]
    assert np.mean(own) > np.mean(rest)
    known = situation(made.view, made.knowledge, 0, joint_predictions._told(made.view, made.knowledge)[0])
    assert set(known.pool.prior) == {0.25} and len(known.pool.ids) == 80
    np.testing.assert_array_equal(np.sort(known.pool.places), np.arange(80))


def test_stand_ins_keep_the_size_of_the_pool(followed: Followed):
    made = followed(clients=2, attack={"known_share": 0.25}, data={"auxiliary": 10})
    known = situation(made.view, made.knowledge, 0, joint_predictions._told(made.view, made.knowledge)[0])
    assert int((known.pool.places >= 0).sum()) == 10
    assert len(known.pool.ids) == 20
    assert float((known.pool.prior * known.pool.largest).sum()) == pytest.approx(20)


def test_stand_ins_have_coins_of_their_own_in_both_replays_of_a_pair(followed: Followed):
    made = followed(clients=2, attack={"known_share": 0.5})
    known = situation(made.view, made.knowledge, 0, joint_predictions._told(made.view, made.knowledge)[0])
    unknown = known.pool.places < 0
    asked = {1: known.asked[1]}
    found = drawn(known.replay, known.private, asked, known.pool.prior, 2, 1, 1, unknown)
    assert found.coins.shape == (5, 40)
    for first, second in (found.coins[:2], found.coins[2:4]):
        np.testing.assert_array_equal(first[~unknown], second[~unknown])
        assert 2 < (first[unknown] != second[unknown]).sum() < 18
    same = drawn(known.replay, known.private, asked, known.pool.prior, 2, 1, 1)
    np.testing.assert_array_equal(same.coins[0], same.coins[1])


def test_a_budget_names_the_steps_and_is_work_that_was_asked_for(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = followed(clients=2)
    usual = JointPredictions().observe(made.view, made.knowledge)
    monkeypatch.setattr(joint_predictions, "DEFAULT_WORK", 1.0)
    with pytest.raises(ValueError, match="--budget"):
        JointPredictions().observe(made.view, made.knowledge)
    made = followed(clients=2, attack={"budget": f"{STEPS} steps"})
    asked = JointPredictions().observe(made.view, made.knowledge)
    np.testing.assert_array_equal(asked.scores, usual.scores)
    fewer = followed(clients=2, attack={"budget": "1 steps"})
    observed = JointPredictions().observe(fewer.view, fewer.knowledge)
    assert not np.array_equal(observed.scores, usual.scores)
    assert any("1 steps of descent" in note for note in observed.notes)


def test_of_the_first_rounds_only_those_trained_on_in_them_are_scored(followed: Followed) -> None:
    fresh = {"schedule": "fresh"}
    made = followed(clients=2, data=fresh)
    usual = JointPredictions().observe(made.view, made.knowledge)
    rounds = made.knowledge.settings.rounds
    every = followed(clients=2, data=fresh, attack={"budget": f"{rounds} rounds"})
    np.testing.assert_array_equal(JointPredictions().observe(every.view, every.knowledge).scores, usual.scores)
    first = followed(clients=2, data=fresh, attack={"budget": "1 round"})
    observed = JointPredictions().observe(first.view, first.knowledge)
    division = first.knowledge.rules.division
    ids = np.concatenate([division.candidates[client][0] for client in (0, 1)])
    seen = np.isfinite(observed.scores[:, 0]).any(axis=0)
    np.testing.assert_array_equal(np.sort(first.knowledge.candidates[seen]), np.sort(ids))
    assert 0 < seen.sum() < len(seen) and any("of the first 1 rounds" in note for note in observed.notes)


def test_of_probes_that_are_spread_those_of_the_first_rounds_are_read(followed: Followed) -> None:
    spread = {"schedule": "spread", "planted_share": 0.5}
    whole = followed(planted=True, clients=2, attack=spread)
    first = followed(planted=True, clients=2, attack={**spread, "budget": "2 rounds"})
    every, early = (JointProbes().observe(made.view, made.knowledge) for made in (whole, first))
    assert early.logp.shape[1] == early.scores.shape[1] == early.simulated_logp.shape[2] == 2
    np.testing.assert_array_equal(early.logp, every.logp[:, :2])
    for client in (0, 1):
        np.testing.assert_array_equal(np.isfinite(early.scores[client]), np.isfinite(every.scores[client, :2]))


def test_a_client_that_sat_out_the_round_of_the_probes_has_no_score(followed: Followed) -> None:
    made = followed(planted=True, clients=4, participation=0.5)
    observed = JointProbes().observe(made.view, made.knowledge)
    scores = observed.scores
    assert scores is not None
    heard = [bool((~np.isnan(scores[client])).any()) for client in range(4)]
    assert sum(heard) == 2
    for client in range(4):
        assert heard[client] == bool((~np.isnan(observed.logp[client])).any())


def test_where_nobody_who_is_attacked_was_asked_there_is_no_score_and_it_is_said(followed: Followed) -> None:
    """Client 0 alone is attacked, and sits out the last round."""
    made = followed(planted=True, clients=4, participation=0.5, attack={"followed": 1})
    observed = JointProbes().observe(made.view, made.knowledge)
    assert observed.scores is not None and np.isnan(observed.scores).all()
    assert np.isnan(observed.logp[0]).all() and not np.isnan(observed.logp).all()
    assert UNASKED in observed.notes


def test_a_budget_that_ends_before_the_first_probe_is_refused(followed: Followed) -> None:
    made = followed(planted=True, clients=2, attack={"budget": "1 round"})
    with pytest.raises(ValueError, match=r"first probe was answered in round 3.*--budget 3rounds"):
        JointProbes().observe(made.view, made.knowledge)


def test_a_start_that_is_not_known_is_said(followed: Followed):
    made = followed(clients=2, training={"init": "independent"})
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert any("starts are not known" in note for note in observed.notes)
    assert made.mean_auc(observed) > 0.6


IN_TURN = {"options": {"update_order": "sequential"}}
HALF = {"participation": 0.5, "clients": 4}


@pytest.mark.parametrize(
    ("position", "more", "doubts"),
    [
        ("server", {**IN_TURN, **HALF}, set()),
        ("client-0", {}, set()),
        ("client-0", IN_TURN, {ANEW}),
        ("client-0", {**IN_TURN, "rounds": 1}, set()),
        ("client-1", IN_TURN, set()),
        ("client-0", {**HALF, "rounds": 5}, {UNHEARD}),
        ("server", {"dropout_rate": 0.5}, {UNHEARD}),
    ],
    ids=str,
)
def test_what_is_not_known_of_a_course_is_told(
    position: str, more: dict[str, Any], doubts: set[str], followed: Followed
) -> None:
    """Of three clients that act in turn the first hears nothing of what the second tells the third anew."""
    made = followed(position=position, **more)
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert {ANEW, UNHEARD} & set(observed.notes) == doubts


def test_the_same_seed_gives_the_same_scores(followed: Followed):
    made = followed(clients=2)
    first, second = (JointPredictions().observe(made.view, made.knowledge).scores for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_no_candidate_that_is_not_known_is_planted(followed: Callable[..., Followed]) -> None:
    made = followed(planted=True, clients=2, rounds=1, attack={"known_share": 0.5}, training={"local_epochs": 1})
    asked = np.unique(np.concatenate([answer.records for answer in answers(made.view)]))
    known = made.knowledge.known
    assert known is not None and np.isin(made.knowledge.candidates[known], asked).all()
    assert not np.isin(made.knowledge.candidates[~known], asked).any()
