"""Joint updates end to end on small real runs: found where it is there, nothing where it is not, no coin in reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.adversary.effort import FORETOLD, THOROUGH
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.unrolled.situation import UNHEARD
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.metrics.pooling import pool_by_rank
from fedprivacy.metrics.roc import auc
from fedprivacy.study.observe import known_candidates, rules
from fedprivacy.study.resolve import resolve


class Run:
    """A small federation on 8x8 digits that has been run, and what an adversary decodes of it."""

    def __init__(self, where: Path, settings: dict[str, Any]) -> None:
        base: dict[str, Any] = {
            "protocol": "fedavg",
            "clients": 3,
            "rounds": 2,
            "data": {"dataset": "digits", "candidates": 60, "auxiliary": 60, "public_size": 20},
            "training": {"batch_size": 16, "local_epochs": 2},
            "attack": {"attacks": ("membership",)},
        }
        for name, value in settings.items():
            base[name] = {**base[name], **value} if isinstance(base.get(name), dict) else value
        self.config = build(RunConfig, base, "test")
        self.env, self.played = resolve(self.config).environment(4)
        self.protocol = resolve(self.config).protocol
        self.defense = resolve(self.config).defense(self.env)
        self.done = engine.run(self.protocol, self.env, where, self.defense)

    def observed(self, position: str, root: int = 9):
        division = self.played.division
        known = known_candidates(self.config.attack.known_share, division, 4)
        told = rules(resolve(self.config), self.env, division)
        knowledge = Knowledge(
            self.config.attack,
            root,
            self.env.dataset,
            self.played.candidates,
            division.auxiliary,
            self.env.workbench,
            known=known,
            rules=told,
            wire=resolve(self.config).wire,
        )
        return JointUpdates().observe(view_of([self.done.transcript], Adversary.parse(position)), knowledge)

    def area(self, observed) -> float:
        """AUC over all candidates that were scored, ranks pooled over clients; higher scores say member."""
        scores, coins = [], []
        for number, source in enumerate(observed.scores):
            for client in range(self.config.clients) if len(observed.scores) == 1 else [number]:
                mine = (self.played.owners == client) & ~np.isnan(source).all(axis=0)
                if mine.any():
                    scores.append(np.nansum(source, axis=0)[mine])
                    coins.append(self.played.flat_coins[mine])
        return auc(*pool_by_rank(scores, coins))


@pytest.fixture
def run(tmp_path: Path):
    def made(**settings: Any) -> Run:
        return Run(tmp_path, settings)

    return made


@pytest.mark.parametrize(
    "name", ["fedavg", "fedprox", "fml", "fedkd", "fedckd", "feddf", "fedasync", "fedbuff", "layerwise-async"]
)
def test_a_server_reads_members_out_of_the_changes_of_every_protocol(name: str, run):
    found = run(protocol=name, rounds=3 if name == "layerwise-async" else 2)
    observed = found.observed("server")
    assert observed.scores.shape[0] == 3
    assert found.area(observed) > 0.85
    assert any("foretell AUC" in note for note in observed.notes)
    assert any("carried by round" in note for note in observed.notes)


@pytest.mark.parametrize(("effort", "rounds", "times"), [("default", 2, 2.5), ("default", 6, 3.75), ("thorough", 6, 0)])
def test_what_a_thorough_grade_costs_is_counted_from_what_was_seen(effort: str, rounds: int, times: float, run):
    """Ten simulations for four, and all rounds for the first four of them."""
    measured = run(rounds=rounds, training={"local_epochs": 1}, attack={"effort": effort}).observed("server").measured
    assert measured.get(THOROUGH, 0) == pytest.approx(times)
    assert 0.5 < measured[FORETOLD] <= 1


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("fedasync", {}, 0.6),
        ("fedasync", {"speeds": "equal"}, 0.7),
        ("fedbuff", {}, 0.6),
        ("layerwise-async", {"server_epochs": 0}, 0.7),
    ],
)
def test_a_peer_reads_members_out_of_models_that_are_no_mean(name: str, options: dict[str, Any], least: float, run):
    """By playing all others from the model that it was sent; the notes say what nobody told it."""
    found = run(protocol=name, options=options, rounds=4)
    observed = found.observed("client-0")
    assert found.area(observed) > least
    assert any("is no mean, and is read as one" in note for note in observed.notes)
    assert any("who took part in a round is not told" in note for note in observed.notes) == name.startswith("fed")


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("mutual", {"average_weights": True}, (0.85, 0.8)),
        (
            "mutual",
            {"average_weights": True, "public_optimizer": "persistent", "update_order": "sequential"},
            (0.8, 0.7),
        ),
        ("fedkd-hybrid", {}, (0.9, 0.85)),
        ("fedkd-hybrid", {"order": "logits-first", "shared_layers": ("hidden",)}, (0.9, 0.85)),
        ("fedkd-hybrid", {"shared_layers": ("head",)}, (0.85, 0.75)),
    ],
)
def test_clients_that_share_predictions_as_well_are_played_along_their_course(
    name: str, options: dict[str, Any], least: tuple[float, float], run
):
    found = run(protocol=name, options=options, rounds=3)
    server, peer = found.observed("server"), found.observed("client-0")
    assert server.scores.shape[0] == 3 and peer.scores.shape[0] == 1
    assert found.area(server) > least[0]
    assert found.area(peer) > least[1]


@pytest.mark.parametrize(
    ("some", "numbers", "least"), [({"participation": 0.5}, {1}, 0.75), ({"dropout_rate": 0.3}, {1, 2}, 0.58)]
)
def test_a_peer_plays_those_that_it_heard_in_each_round(some: dict[str, float], numbers: set[int], least: float, run):
    """Where one other takes part each time, each is a source of its own; where it is two at a time, all are one."""
    found = run(protocol="mutual", options={"average_weights": True}, clients=4, rounds=4, **some)
    heard = [
        {m.author for m in found.done.transcript.messages if m.receiver == "client-0" and m.round == number}
        for number in range(1, 5)
    ]
    assert {len(authors - {"server"}) for authors in heard if "server" in authors} == numbers
    observed = found.observed("client-0")
    assert observed.scores.shape[0] == (1 if max(numbers) > 1 else 4)
    assert np.isnan(observed.scores[0][:, found.played.owners == 0]).all()
    assert found.area(observed) > least


@pytest.mark.parametrize(("name", "options"), [("mutual", {"average_weights": True}), ("fedkd-hybrid", {})])
def test_clients_that_learn_from_public_records_alone_give_nothing_away(name: str, options: dict[str, Any], run):
    """The public phase moves the weights as ever, the private one does not."""
    found = run(protocol=name, options=options, training={"optimizer": "sgd", "lr": 1e-12})
    assert 0.35 < found.area(found.observed("server")) < 0.65


def test_each_client_is_scored_on_its_own_candidates_alone(run):
    found = run()
    observed = found.observed("server")
    for client, source in enumerate(observed.scores):
        np.testing.assert_array_equal(np.isnan(source).all(axis=0), found.played.owners != client)


def test_a_budget_in_rounds_reads_the_first_rounds_alone(run):
    whole, first = run().observed("server"), run(attack={"budget": "1 round"}).observed("server")
    np.testing.assert_array_equal(first.scores, whole.scores[:, :1])
    assert any("in the first 1 rounds" in note for note in first.notes)


def test_of_clients_that_take_turns_a_budget_in_rounds_reads_those_that_came_early(run):
    found = run(clients=4, rounds=6, participation=0.25, data={"candidates": 20}, attack={"budget": "2 rounds"})
    early = {m.sender for m in found.done.transcript.messages if m.round <= 2} - {"server"}
    late = {m.sender for m in found.done.transcript.messages} - {"server"} - early
    assert early and late
    observed = found.observed("server")
    read = {f"client-{c}" for c in range(4) if np.isfinite(observed.scores[c]).any()}
    assert read == early and observed.scores.shape[1] == 2


def test_the_sum_of_all_clients_and_a_peer_say_less_but_enough(run):
    found = run(
        options={"weighting": "uniform"}, rounds=3, defense={"name": "secure-aggregation", "options": {"range": 8.0}}
    )
    together, peer = found.observed("server"), found.observed("client-1")
    assert together.scores.shape[0] == peer.scores.shape[0] == 1
    assert found.area(together) > 0.8
    assert found.area(peer) > 0.8
    assert np.isnan(peer.scores[0][:, found.played.owners == 1]).all()


def test_where_some_sit_out_the_sums_of_all_rounds_are_read_and_a_peer_says_what_it_is_not_told(run):
    half = {"clients": 4, "participation": 0.5, "rounds": 6, "attack": {"effort": "thorough"}}
    masked = {"options": {"weighting": "uniform"}, "defense": {"name": "secure-aggregation", "options": {"range": 8.0}}}
    found = run(**half, **masked)
    together, peer = found.observed("server"), found.observed("client-0")
    assert together.scores.shape[:2] == (1, 6) and peer.scores.shape[0] == 1
    assert found.area(together) > 0.9
    assert found.area(peer) > 0.7
    doubtful = [("who took part in a round is not told" in n, "nobody in them sits out" in n) for n in peer.notes]
    assert tuple(map(sum, zip(*doubtful, strict=True))) == (1, 1)
    assert not any("not told" in note or "sits out" in note or "not seen" in note for note in together.notes)


def test_what_clients_did_in_rounds_in_which_they_were_lost_is_told(run):
    found = run(protocol="mutual", options={"average_weights": True}, rounds=3, dropout_rate=0.3)
    assert UNHEARD in found.observed("server").notes
    assert UNHEARD not in run(dropout_rate=0.3).observed("server").notes


def test_neighbours_without_a_server_are_followed_by_whoever_hears_everything(run):
    found = run(protocol="profe", clients=4)
    everything, one = found.observed("eavesdropper"), found.observed("client-0")
    assert found.area(everything) > 0.8
    assert everything.scores.shape[:2] == (4, 2)
    # A node hears its neighbours alone, and of what they start from only the first start is known.
    assert one.scores.shape[:2] == (4, 1)
    assert [bool((~np.isnan(source)).any()) for source in one.scores] == [False, True, False, True]


def test_records_that_are_not_known_are_stood_in_for(run):
    found = run(data={"candidates": 120, "auxiliary": 120}, attack={"known_share": 0.5})
    observed = found.observed("server")
    scored = ~np.isnan(observed.scores).all(axis=1).all(axis=0)
    np.testing.assert_array_equal(scored, known_candidates(0.5, found.played.division, 4))
    assert found.area(observed) > 0.7


def test_one_output_for_two_classes_is_read_too(run, binary_digits):
    found = run(data={"dataset": "npz", "data_dir": binary_digits}, training={"output": "sigmoid"})
    assert found.area(found.observed("server")) > 0.75


def test_owners_need_not_be_known(run):
    """Every candidate is asked of every client; those of others look like records that were not trained on."""
    found = run(attack={"owners": "unknown"})
    observed = found.observed("server")
    assert not np.isnan(observed.scores).any()
    assert found.area(observed) > 0.8
    total = observed.scores.sum(axis=1)
    others = [total[client][found.played.owners != client].mean() for client in range(3)]
    outside = [total[client][(found.played.owners == client) & ~found.played.flat_coins].mean() for client in range(3)]
    inside = [total[client][(found.played.owners == client) & found.played.flat_coins].mean() for client in range(3)]
    assert np.mean(inside) > max(np.mean(others), np.mean(outside))


def test_folds_that_change_by_round_are_scored_in_their_own_round(run):
    found = run(data={"schedule": "fresh"})
    observed = found.observed("server")
    told = (~np.isnan(observed.scores)).any(axis=0)
    assert (told.sum(axis=0) == 1).all()
    assert found.area(observed) > 0.8


@pytest.mark.parametrize(
    "settings", [{"partition": "iid"}, {"partition": "shards"}, {"partition": "dirichlet", "alpha": 0.1}]
)
def test_training_that_does_not_learn_gives_nothing_away(settings: dict[str, Any], run):
    found = run(training={"lr": 1e-12}, data=settings)
    assert 0.35 < found.area(found.observed("server")) < 0.65


def test_no_coin_is_in_reach(run):
    """Scores rest on what was sent: against coins that are drawn after training they are at chance."""
    found = run()
    observed = found.observed("server")
    drawn = []
    for seed in range(20):
        found.played = type(found.played)(
            found.played.dataset,
            found.played.division,
            [np.random.default_rng([seed, c]).random(60) < 0.5 for c in range(3)],
            found.played.canaries,
        )
        drawn.append(found.area(observed))
    assert 0.45 < np.mean(drawn) < 0.55


def test_the_seeds_of_the_adversary_are_its_own(run):
    found = run()
    one, same, other = (found.observed("server", root) for root in (9, 9, 10))
    np.testing.assert_array_equal(one.scores, same.scores)
    assert np.corrcoef(np.nansum(one.scores, axis=(0, 1)), np.nansum(other.scores, axis=(0, 1)))[0, 1] < 0.999


def test_without_rules_nobody_can_be_played(run):
    found = run()
    knowledge = Knowledge(
        found.config.attack,
        1,
        found.env.dataset,
        found.played.candidates,
        found.played.division.auxiliary,
        found.env.workbench,
        wire=resolve(found.config).wire,
    )
    with pytest.raises(ValueError, match="played"):
        JointUpdates().observe(view_of([found.done.transcript], Adversary("server")), knowledge)
