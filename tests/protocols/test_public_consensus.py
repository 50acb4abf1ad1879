"""FedMD, DS-FL, FedDF and FedKD-hybrid round by round: who gets what, in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.config.base import UsageError
from fedprivacy.federation.tested import scored_otherwise
from fedprivacy.protocols.fml import Fml, thirds_done
from fedprivacy.study.resolve import resolve
from fedprivacy.training.fusion import Fusion, fuse
from fedprivacy.training.learner import Records
from fedprivacy.training.losses import predicted_class
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions

MakeWorld = Callable[..., Any]


def by_kind(done: Any, kind: str, number: int) -> tuple[list[Any], list[Any]]:
    """Payloads of one round: from clients, from the server."""
    chosen = [m for m in done.transcript.messages if m.kind == kind and m.round == number]
    up = [done.transcript.payload(m) for m in chosen if m.sender != SERVER]
    down = [done.transcript.payload(m) for m in chosen if m.sender == SERVER]
    return up, down


@pytest.mark.parametrize("name", ["fedmd", "fedkd-hybrid"])
def test_the_consensus_is_the_mean_of_logits(name: str, world: MakeWorld) -> None:
    done = world(name).run()
    up, down = by_kind(done, "predictions", 2)
    expected = torch.stack([p.values for p in up]).mean(dim=0)
    for payload in down:
        assert isinstance(payload, Predictions)
        assert payload.form == "logits"
        torch.testing.assert_close(payload.values, expected)


def test_fedmd_by_validation_accuracy(world: MakeWorld) -> None:
    done = world("fedmd", {"consensus_weights": "validation"}).run()
    up, down = by_kind(done, "predictions", 3)
    accuracies = [float(p.tensors["accuracy"]) for p in by_kind(done, "scalars", 3)[0]]
    expected = torch.einsum(
        "k,knc->nc", torch.tensor(accuracies) / sum(accuracies), torch.stack([p.values for p in up])
    )
    torch.testing.assert_close(down[0].values, expected, rtol=1e-5, atol=1e-5)


def test_fedmd_needs_validation_records_to_weigh_by(world: MakeWorld) -> None:
    here = world("fedmd", {"consensus_weights": "validation"})
    nobody = tuple((np.array([], dtype=np.int64),) for _ in range(3))
    object.__setattr__(here.env.division, "validation", nobody)
    with pytest.raises(UsageError, match=r"raise data\.validation"):
        here.protocol.check(here.env)


def test_fedmd_trains_in_the_order_of_the_paper(world: MakeWorld) -> None:
    done = world("fedmd", rounds=2).run()
    phases = [(row.round, row.phase) for row in done.history if row.client == 0 and row.epoch == 1]
    assert phases == [
        (0, "transfer"),
        (1, "private"),
        (1, "look"),
        (1, "digest"),
        (2, "private"),
        (2, "look"),
        (2, "digest"),
        (3, "private"),
    ]


@pytest.mark.parametrize("name", ["fedmd", "ds-fl", "cfd", "fedkd-hybrid", "mutual"])
def test_public_records_are_needed(name: str, world: MakeWorld) -> None:
    here = world(name)
    nobody = tuple(np.array([], dtype=np.int64) for _ in range(3))
    object.__setattr__(here.env.division, "public", nobody)
    with pytest.raises(UsageError, match=rf"protocol {name}: .*data\.public_size must be above 0"):
        here.protocol.check(here.env)


def test_feddf_needs_enough_public_records(world: MakeWorld) -> None:
    here = world("feddf")
    object.__setattr__(here.env.division, "public", tuple(np.array([0], dtype=np.int64) for _ in range(3)))
    with pytest.raises(UsageError, match=r"raise data\.public_size"):
        here.protocol.check(here.env)


def fused(world: Any, target: torch.Tensor, steps: int, patience: int = 10**6) -> tuple[Any, int, Records]:
    bench = world.env.workbench
    student = bench.learner("tiny", bench.initial("tiny", (0, ("student",))))
    records, validation = world.env.records(np.arange(40)), world.env.records(np.arange(40, 60))
    plan = Fusion(steps, patience, 1e-2, 16)
    return student, fuse(student, records, target, validation, plan, (0, ("fusion",))), records


def test_fusion_learns_the_teachers(world: MakeWorld) -> None:
    here = world("feddf", sizes=(30, 30))
    bench = here.env.workbench
    teacher = bench.learner("tiny", bench.initial("tiny", (0, ("teacher",))), slot="teacher")
    teacher.fit(here.env.records(np.arange(60)), 40, (0, ("teach",)))
    target = teacher.logits(here.env.records(np.arange(40)).x)
    student, kept, records = fused(here, target, 600)
    agreement = (predicted_class(student.logits(records.x)) == predicted_class(target)).float().mean()
    assert float(agreement) > 0.9
    assert kept > 0


def test_fusion_stops_without_gain_and_goes_back_to_the_best(world: MakeWorld) -> None:
    here = world("feddf", sizes=(30, 30))
    labels = torch.from_numpy(here.env.records(np.arange(40)).y)
    wrong = torch.nn.functional.one_hot((labels + 1) % 3, 3).float() * 20
    bench = here.env.workbench
    good = bench.learner("tiny", bench.initial("tiny", (0, ("student",))))
    good.fit(here.env.records(np.arange(60)), 40, (0, ("teach",)))
    before = good.weights()
    records, validation = here.env.records(np.arange(40)), here.env.records(np.arange(40, 60))
    kept = fuse(good, records, wrong, validation, Fusion(5000, 100, 1e-2, 16), (0, ("fusion",)))
    assert kept < 100
    right = (predicted_class(good.logits(validation.x)) == torch.from_numpy(validation.y)).sum()
    start = bench.learner("tiny", before, slot="before")
    assert int(right) >= int((predicted_class(start.logits(validation.x)) == torch.from_numpy(validation.y)).sum())


def test_feddf_gives_each_architecture_its_own_model(world: MakeWorld) -> None:
    options = {"steps": 20, "patience": 20}
    here = world("feddf", options, sizes=(8, 8, 8, 8), training={"client_models": ("tiny", "slim")})
    done = here.run()
    models = here.protocol.models(done.state, here.env)
    assert set(models) == {"global-tiny", "global-slim"}
    parts = done.state.parts
    for client in range(4):
        own = parts[f"client-{client}/model"]
        fused_model = parts[f"server/fused-{here.env.architecture(client)}"]
        assert all(torch.equal(own[name], fused_model[name]) for name in own)


def test_hybrid_clients_end_on_the_mean_layers_when_logits_come_first(world: MakeWorld) -> None:
    options = {"order": "logits-first", "shared_layers": ("head",)}
    done = world("fedkd-hybrid", options, sizes=(8, 12, 10)).run()
    uploads, downloads = by_kind(done, "weights", 3)
    counts = torch.tensor([8.0, 12.0, 10.0])
    stacked = torch.stack([u.tensors["head.weight"] for u in uploads])
    mean = torch.einsum("k,kij->ij", counts / counts.sum(), stacked)
    torch.testing.assert_close(downloads[0].tensors["head.weight"], mean, rtol=1e-5, atol=1e-6)
    for client in range(3):
        part = done.state.parts[f"client-{client}/model"]
        torch.testing.assert_close(part["head.weight"], mean, rtol=1e-5, atol=1e-6)
    first, second = (done.state.parts[f"client-{c}/model"]["hidden.weight"] for c in (0, 1))
    assert not torch.allclose(first, second)


def test_hybrid_names_a_layer_that_is_not_there(world: MakeWorld) -> None:
    here = world("fedkd-hybrid", {"shared_layers": ("hiden",)})
    with pytest.raises(UsageError, match=r"no layer 'hiden' is the same in all models\. Did you mean 'hidden'"):
        here.protocol.check(here.env)


def test_hybrid_shares_what_fits(world: MakeWorld) -> None:
    here = world("fedkd-hybrid", training={"client_models": ("tiny", "normed")})
    here.run()
    assert here.protocol.shared(here.env) == ["hidden.weight", "hidden.bias", "head.weight", "head.bias"]


@pytest.mark.parametrize(("rounds", "expected"), [(3, [0, 1, 2]), (6, [0, 0, 1, 1, 2, 2]), (1, [0]), (4, [0, 0, 1, 2])])
def test_thirds(rounds: int, expected: list[int]) -> None:
    assert [thirds_done(t, rounds) for t in range(1, rounds + 1)] == expected


def test_fml_weights_grow_under_the_dynamic_schedule(world: MakeWorld) -> None:
    fml = world("fml", {"schedule": "dynamic"}).protocol
    assert isinstance(fml, Fml)
    weights = [fml.label_weights(t, 3) for t in (1, 2, 3)]
    np.testing.assert_allclose(weights, [(0.5, 0.5), (0.7, 0.9), (0.9, 1.0)])


def test_fml_learning_rate_drops(world: MakeWorld) -> None:
    """With a factor near zero the last two thirds change next to nothing."""
    whole = world("fml", {"lr_drop": 1e-6}, rounds=3).run()
    parts, before = whole.state.parts, whole.before_last.parts
    assert torch.allclose(parts["client-0/model"]["head.weight"], before["client-0/model"]["head.weight"], atol=1e-5)
    first = world("fml", {"lr_drop": 1e-6}, rounds=1)
    start = first.protocol.init(first.env).state.parts["client-0/model"]["head.weight"]
    assert not torch.allclose(parts["client-0/model"]["head.weight"], start, atol=1e-3)


def test_profe_teaching_fades(world: MakeWorld) -> None:
    protocol = world("profe").protocol
    assert [protocol.teaching(t) for t in (1, 2, 4, 5)] == [(1.0, 1.0), (0.5, 0.5), (0.125, 0.125), (0.0, 0.0)]


@pytest.mark.parametrize("name", ["fedproto", "profe"])
def test_nearest_prototype_answers(name: str, world: MakeWorld) -> None:
    here = world(name, sizes=(30, 30, 30), rounds=4, training={"client_models": ("tiny", "slim"), "local_epochs": 5})
    protocol = here.protocol
    x, labels = here.dataset.x_test, torch.from_numpy(here.dataset.y_test)
    assert not protocol.answers(protocol.init(here.env).state, here.env, x)
    answers = protocol.answers(here.run().state, here.env, x)
    assert list(answers) == [f"client-{k}" for k in range(3)]
    for scores in answers.values():
        assert float((scores.argmax(dim=1) == labels).float().mean()) > 0.5


@pytest.mark.parametrize("name", ["fml", "fedkd", "fedproto", "profe", "fedprox", "fedasync", "fedbuff"])
def test_private_training_is_refused_where_it_would_not_hold(name: str, world: MakeWorld) -> None:
    here = world(name)
    object.__setattr__(here.env, "private_fit", lambda *_: [])
    with pytest.raises(UsageError, match=f"protocol {name}: .*differentially private training does not apply"):
        here.protocol.init(here.env)


def test_the_other_way_to_answer_is_a_metric_of_every_owner(world: MakeWorld) -> None:
    here = world("fedproto", sizes=(30, 30, 30), rounds=4, training={"local_epochs": 5})
    extra = scored_otherwise(here.protocol, here.run().state, here.env)
    assert {owner: list(found) for owner, found in extra.items()} == {
        f"client-{k}": ["nearest_prototype_accuracy"] for k in range(3)
    }
    assert all(found["nearest_prototype_accuracy"] > 0.5 for found in extra.values())
    plain = world("fedavg")
    assert not scored_otherwise(plain.protocol, plain.run().state, plain.env)


@pytest.mark.parametrize(("name", "option"), [("fml", "meme"), ("fedkd", "mentee"), ("profe", "student")])
def test_a_shared_model_must_exist(name: str, option: str, small_config: Callable[..., Any]) -> None:
    config = small_config(protocol=name, options={option: "mpl"})
    env, _ = resolve(config).environment(0)
    with pytest.raises(UsageError, match=rf"protocol {name}, {option}: no model 'mpl' exists\. Did you mean 'mlp'"):
        resolve(config).protocol.check(env)
