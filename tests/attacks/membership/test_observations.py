"""From the wire to signals: planted leaks are found, null views stay at chance, nothing else is in reach."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy import catalog
from fedprivacy.adversary.threat import Adversary, Truth, View, view_of
from fedprivacy.attacks.membership.assemble import score_target, signals_of
from fedprivacy.attacks.membership.decode import HARD_LABEL, UNIFORM_REST
from fedprivacy.attacks.membership.observations import surrogate as surrogate_module
from fedprivacy.attacks.membership.observations.probes import Probes
from fedprivacy.attacks.membership.observations.surrogate import Surrogate
from fedprivacy.attacks.membership.observations.weights import GlobalModel, UploadedWeights
from fedprivacy.attacks.membership.received import answers
from fedprivacy.federation.engine import latest
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.game import Game
from fedprivacy.study.resolve import resolve
from fedprivacy.study.resolved import Study
from fedprivacy.study.run import Plan, execute
from fedprivacy.training.learner import Records
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.transcript import Transcript

Made = Any


def seen_by(adversary: str, *transcripts: Transcript) -> View:
    return view_of(transcripts, Adversary.parse(adversary))


def judged(made: Made, observed: Observed) -> dict[tuple[str, str], Finding]:
    """Findings by statistic and metric over all clients, through scoring and the examiner."""
    labels = made.knowledge.dataset.y_train
    groups: dict[str, list[Target]] = {}
    for client in range(len(observed.logp)):
        chosen = np.flatnonzero(made.owner == client) if len(observed.logp) > 1 else np.arange(len(made.owner))
        attack = made.knowledge.attack
        ours, theirs = labels[made.candidates], labels[made.auxiliary]
        signals = signals_of(observed, [], client, chosen, ours, theirs, attack.coop)
        for name, scores in score_target(signals, attack).scores.items():
            assert not isinstance(scores, str), (name, scores)
            groups.setdefault(name, []).append(Target(client_name(client), scores, Truth(made.coins[chosen])))
    found: dict[tuple[str, str], Finding] = {}
    for name, targets in groups.items():
        label = Label("test", "server", name, 0.95, False)
        for finding in examiner.membership([targets], label):
            if finding.target == "all clients":
                found[name, finding.metric] = finding
    return found


def test_a_planted_leak_is_found_through_the_wire(hand_made: Callable[..., Made]) -> None:
    """Members get 0.97 on the true class, all others 0.5: TPR at 0.1% FPR is near 1, with enough non-members for it."""
    made = hand_made(1300)
    ids = np.concatenate([made.candidates, made.auxiliary])
    made.draw.shuffle(ids)
    told = made.transcript({1: ids}, lambda r, k: made.sure(r, k, made.coins).astype(np.float32), "probabilities")
    found = judged(made, Probes().observe(seen_by("active-server", told), made.knowledge))
    assert (~made.coins).sum() > 1000
    for name in ("loss", "mentr", "ratio", "calibrated", "rmia", "coop-lira", "base-offline"):
        assert found[name, "TPR@0.1%FPR"].value > 0.9, name  # type: ignore[operator]
        assert found[name, "AUC"].value > 0.99, name  # type: ignore[operator]


@pytest.mark.parametrize("form", ["probabilities", "logits", "losses", "labels"])
def test_a_planted_leak_is_found_in_every_form(hand_made: Callable[..., Made], form: str) -> None:
    made = hand_made(60, attack={"coop": False})

    def said(records: np.ndarray[Any, Any], client: int) -> np.ndarray[Any, Any]:
        p = made.sure(records, client, made.coins)
        labels = made.knowledge.dataset.y_train[records]
        if form == "logits":
            return (np.log(p) + 3).astype(np.float32)
        if form == "losses":
            return -np.log(p[np.arange(len(p)), labels])[:, None].astype(np.float32)
        if form == "labels":
            right = p[np.arange(len(p)), labels] > 0.9
            return np.where(right, labels, (labels + 1) % 4)[:, None].astype(np.uint8)
        return p.astype(np.float32)

    told = made.transcript({1: np.concatenate([made.candidates, made.auxiliary])}, said, form)
    found = judged(made, Probes().observe(seen_by("active-server", told), made.knowledge))
    statistic = "correct" if form == "labels" else "loss"
    assert found[statistic, "AUC"].value > 0.999  # type: ignore[operator]
    if form == "labels":
        assert {name for name, _ in found} == {"correct"}
    if form == "losses":
        assert not {name for name, _ in found} & {"confidence", "entropy", "mentr", "correct"}


def test_a_null_view_stays_at_chance(hand_made: Callable[..., Made]) -> None:
    """The same predictions with coins that have nothing to do with them."""
    made = hand_made(600)
    others = made.draw.random(len(made.coins)) < 0.5
    ids = np.concatenate([made.candidates, made.auxiliary])
    told = made.transcript({1: ids}, lambda r, k: made.sure(r, k, others).astype(np.float32), "probabilities")
    found = judged(made, Probes().observe(seen_by("active-server", told), made.knowledge))
    assert len({name for name, _ in found}) >= 10
    for (name, metric), finding in found.items():
        if metric == "AUC":
            sd = (finding.chance_high - 0.5) / 1.96  # type: ignore[operator]
            assert abs(finding.value - 0.5) < 4 * sd, name  # type: ignore[operator]
        elif finding.value is not None and metric == "TPR@10%FPR":
            assert finding.value < 0.2, name


def test_a_probe_that_stood_in_an_earlier_fold_is_not_clean(hand_made: Callable[..., Made]) -> None:
    made = hand_made(20)
    replayed, fresh, never = made.candidates[:5], made.candidates[5:12], made.candidates[12:]
    rounds = {1: replayed, 2: np.concatenate([replayed, fresh, made.public[:4]])}
    told = made.transcript(rounds, lambda r, k: made.sure(r, k, made.coins).astype(np.float32), "probabilities")
    observed = Probes().observe(seen_by("active-server", told), made.knowledge)
    assert observed.logp.shape == (2, 2, 40, 4)
    assert observed.seen[:, replayed].all() and observed.clean[0, replayed].all()
    assert not observed.clean[1, replayed].any() and observed.clean[1, fresh].all()
    assert not observed.seen[0, fresh].any() and not observed.seen[:, never].any()
    assert np.isnan(observed.logp[:, :, never]).all() and not np.isnan(observed.logp[:, 1, fresh]).any()


def test_alternative_last_folds_are_first_exposures_of_one_round(hand_made: Callable[..., Made]) -> None:
    made = hand_made(10)
    halves = np.array_split(made.candidates, 2)
    told = [
        made.transcript({2: half}, lambda r, k: made.sure(r, k, made.coins).astype(np.float32), "probabilities")
        for half in halves
    ]
    observed = Probes().observe(seen_by("active-server", *told), made.knowledge)
    assert observed.seen.all() and observed.clean.all() and observed.logp.shape[1] == 1


def test_a_peer_reads_the_relayed_predictions_of_others(hand_made: Callable[..., Made]) -> None:
    made = hand_made(5)
    told = made.transcript({1: made.public}, lambda r, k: np.full((len(r), 4), k, np.float32), "logits")
    heard = {a.client: float(a.payload.values[0, 0]) for a in answers(seen_by("client-0", told))}
    assert heard == {0: 0.0, 1: 1.0}
    assert len(list(answers(seen_by("eavesdropper", told)))) == 2
    assert [a.client for a in answers(seen_by("server", told))] == [0, 1]


def test_a_view_opens_no_message_that_others_got(hand_made: Callable[..., Made]) -> None:
    made = hand_made(5)
    channel = Channel(1, made.store)
    channel.send("client-0", SERVER, Weights({"w": torch.ones(2)}))
    channel.send("client-1", SERVER, Weights({"w": torch.zeros(2)}))
    view = seen_by("client-0", Transcript(tuple(channel.messages), (), made.store))
    (mine,) = view.transcripts[0].messages
    assert view.transcripts[0].payload(mine).tensors["w"].tolist() == [1, 1]  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="in sight"):
        view.transcripts[0].store.get(channel.messages[1].digest)
    with pytest.raises(TypeError):
        view.transcripts[0].store.put("a", b"")


def test_a_surrogate_is_distilled_from_no_candidate(
    hand_made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hand_made(20)
    used: list[Any] = []

    def spy(sets: Any, knowledge: Any, queries: Any) -> Any:
        used.extend(given.x for given in sets.values())
        return {client: np.full((len(queries), 4), np.log(0.25)) for client in sets}

    monkeypatch.setattr(surrogate_module, "distilled", spy)
    folds = {1: np.concatenate([made.public[:30], made.candidates[:7], made.auxiliary[:3]]), 2: made.public[30:]}
    told = made.transcript(folds, lambda r, k: made.sure(r, k, made.coins).astype(np.float32), "probabilities")
    observed = Surrogate().observe(seen_by("server", told), made.knowledge)
    x = made.knowledge.dataset.x_train
    assert len(used) == 2 and all(np.array_equal(rows, x[made.public]) for rows in used)
    assert observed.logp.shape == (2, 1, 40, 4) and observed.population_logp.shape == (2, 1, 50, 4)
    assert observed.notes == ("surrogates distilled from 60 predictions a client, no candidate among them",)


def test_a_surrogate_carries_a_leak_that_is_on_the_wire(hand_made: Callable[..., Made]) -> None:
    """Public records lie right beside the candidates, and the clients are surer of those beside members."""
    made = hand_made(40, public=80, attack={"surrogate_epochs": 300, "surrogate_lr": 0.01, "coop": False})
    x, y = made.knowledge.dataset.x_train, made.knowledge.dataset.y_train
    x[made.public] = x[made.candidates] + 1e-3
    y[made.public] = y[made.candidates]
    told = made.transcript(
        {1: made.public}, lambda r, k: made.sure(r - made.public[0], k, made.coins).astype(np.float32), "probabilities"
    )
    observed = Surrogate().observe(seen_by("server", told), made.knowledge)
    assert judged(made, observed)["loss", "AUC"].value > 0.9  # type: ignore[operator]
    again = Surrogate().observe(seen_by("server", told), made.knowledge)
    np.testing.assert_array_equal(observed.logp, again.logp)


def test_a_surrogate_of_what_is_unrelated_stays_at_chance(hand_made: Callable[..., Made]) -> None:
    made = hand_made(150, attack={"surrogate_epochs": 20, "coop": False})
    told = made.transcript(
        {1: made.public}, lambda r, k: made.sure(r, k, made.coins).astype(np.float32), "probabilities"
    )
    finding = judged(made, Surrogate().observe(seen_by("server", told), made.knowledge))["loss", "AUC"]
    assert finding.chance_low - 0.05 < finding.value < finding.chance_high + 0.05  # type: ignore[operator]


def overfitted(made: Made, client: int) -> dict[str, torch.Tensor]:
    """A model that has learned the labels of the client's members by heart."""
    learner = made.bench.learner("mlp", made.bench.initial("mlp", (client, ("test",))))
    mine = made.candidates[made.coins & (made.owner == client)]
    data = made.knowledge.dataset
    learner.fit(Records(data.x_train[mine], data.y_train[mine]), 400, (0, ("test", client)))
    return learner.weights()  # type: ignore[no-any-return]


def test_uploaded_weights_tell_what_was_learned_by_heart(hand_made: Callable[..., Made]) -> None:
    made = hand_made(60)
    channel = Channel(1, made.store)
    models = [overfitted(made, client) for client in range(2)]
    for client, weights in enumerate(models):
        channel.send(client_name(client), SERVER, Weights(weights))
    channel.send(SERVER, ["client-0", "client-1"], Weights(models[0]), "global")
    told = Transcript(tuple(channel.messages), (), made.store)
    observed = UploadedWeights().observe(seen_by("server", told), made.knowledge)
    assert judged(made, observed)["loss", "AUC"].value > 0.9  # type: ignore[operator]
    for client, weights in enumerate(models):
        logits = made.bench.logits("mlp", weights, made.knowledge.dataset.x_train[made.candidates])
        np.testing.assert_allclose(observed.logp[client, 0], torch.log_softmax(logits.double(), 1).numpy(), atol=1e-6)
    heard = GlobalModel().observe(seen_by("client-1", told), made.knowledge)
    np.testing.assert_array_equal(heard.logp[0], observed.logp[0])
    assert heard.logp.shape == (1, 1, 120, 4)


def test_groups_of_layers_make_a_model_only_together(hand_made: Callable[..., Made]) -> None:
    made = hand_made(10, attack={"combine": "mean"})
    weights = made.bench.initial("mlp", (0, ("test",)))
    groups = {
        1: {name: t for name, t in weights.items() if name.startswith("head.")},
        2: {name: t for name, t in weights.items() if not name.startswith("head.")},
    }
    messages = []
    for number, group in groups.items():
        channel = Channel(number, made.store)
        for client in range(2):
            channel.send(client_name(client), SERVER, Weights(group), "group")
        messages += channel.messages
    told = Transcript(tuple(messages), (), made.store)
    observed = UploadedWeights().observe(seen_by("server", told), made.knowledge)
    assert observed.notes == ("round 1: some layers had not been sent yet",)
    assert observed.seen.tolist() == [[False] * 20, [True] * 20]


def test_an_empty_view_gives_no_signal(hand_made: Callable[..., Made]) -> None:
    made = hand_made(10)
    empty = seen_by("server", Transcript((), (), made.store))
    for observation in (Probes(), Surrogate(), UploadedWeights()):
        observed = observation.observe(empty, made.knowledge)
        assert not observed.seen.any() and not np.nan_to_num(observed.logp).any()


def reachable(start: Sequence[Any]) -> list[Any]:
    """Every object that attributes, items and closures lead to."""
    seen: dict[int, Any] = {}
    queue = list(start)
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | type(None) | type):
            continue
        seen[id(item)] = item
        if isinstance(item, Mapping):
            queue += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            queue += item
        elif callable(item) and getattr(item, "__closure__", None):
            queue += [cell.cell_contents for cell in item.__closure__]
        elif isinstance(item, functools.partial):
            queue += [item.func, *item.args, *item.keywords.values()]
        elif isinstance(item, MethodType):
            queue += [item.__self__]
        elif dataclasses.is_dataclass(item):
            queue += [getattr(item, field.name) for field in dataclasses.fields(item)]
        elif hasattr(item, "__dict__") and type(item).__module__.startswith(("fedprivacy", "torch.nn")):
            queue += vars(item).values()
    return list(seen.values())


@pytest.mark.parametrize("protocol", ["mutual", "fedavg"])
def test_no_model_and_no_coin_is_in_an_attacks_reach(
    protocol: str, small_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[View, Knowledge]] = []

    class Spy:
        name = "spy"
        needs_courses = True

        def observe(self, view: View, knowledge: Knowledge) -> Observed:
            held.append((view, knowledge))
            n = len(knowledge.candidates)
            return Observed(np.zeros((3, 1, n, 10)), np.ones((1, n), bool), np.ones((1, n), bool))

    monkeypatch.setattr(catalog, "observation", lambda name: Spy())
    config = small_config(protocol=protocol, attack={"attacks": ("membership",)})
    execute(config, Plan(tmp_path / "run", baselines=False))
    log = latest(tmp_path / "run" / "checkpoint")
    assert log is not None and len(held) >= 2
    weights = [t for content in log.state.parts.values() for t in content.values() if t.numel() > 1]
    coins = resolve(config).game(0).flat_coins
    for found in map(reachable, held):
        assert not [o for o in found if isinstance(o, Truth | FederationState | Environment | Game | Study)]
        tensors = [o for o in found if isinstance(o, torch.Tensor)]
        tensors += [t for o in found if isinstance(o, nn.Module) for t in o.state_dict().values()]
        assert not [t for t in tensors for w in weights if t.shape == w.shape and torch.equal(t, w)]
        masks = [o for o in found if isinstance(o, np.ndarray) and o.dtype == bool]
        assert not [m for m in masks if m.shape == coins.shape and (m == coins).all()]
        assert [o for o in found if isinstance(o, Knowledge)] and [o for o in found if isinstance(o, Transcript)]


def test_a_surrogate_of_hard_labels_answers_with_probabilities(hand_made: Callable[..., Made]) -> None:
    """Probes of hard labels allow ``correct`` alone; what a surrogate makes of them is soft and allows all."""
    made = hand_made(20, attack={"surrogate_epochs": 5})
    told = made.transcript({1: made.public}, lambda r, k: np.eye(4, dtype=np.float32)[r % 4], "probabilities")
    soft = Surrogate().observe(seen_by("server", told), made.knowledge)
    assert HARD_LABEL not in soft.floor and UNIFORM_REST not in soft.floor
    assert np.exp(soft.logp[0, 0]).max(axis=1).min() < 0.999
    planted = made.transcript({1: made.candidates}, lambda r, k: np.eye(4, dtype=np.float32)[r % 4], "probabilities")
    assert HARD_LABEL in Probes().observe(seen_by("server", planted), made.knowledge).floor
