"""Inversion from end to end on small digits: planted leaks are seen, nulls stay at chance, misuse is told at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedprivacy import parts
from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.inversion import recovered
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.config.base import UsageError
from fedprivacy.data.pixels import pixel_scale
from fedprivacy.federation.engine import run as run_federation
from fedprivacy.federation.engine import stored_transcript
from fedprivacy.judge.result import Finding, RunResult, from_json
from fedprivacy.study.documents import write_documents
from fedprivacy.study.inversion.batches import UNTOLD, Batches
from fedprivacy.study.inversion.findings import GAIN, PSNR, _Writer
from fedprivacy.study.inversion.reconstructed import (
    BEST,
    CLASS_MEAN,
    MEAN,
    NEAREST,
    NULL,
    RANDOM,
    Case,
    cases,
    units_of,
)
from fedprivacy.study.ran import common_start
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.payload import Update, Weights

Configure = Callable[..., Any]
ONE_STEP = {"local_steps": 1, "batch_size": 1, "optimizer": "sgd", "lr": 0.1}
CHEAP = {"attacks": ("inversion",), "inversion": {"iterations": 20, "messages": 6}}


def ran(config: Any, where: Path) -> RunResult:
    resolve(config)
    return execute(config, Plan(where, baselines=False))


def one(result: RunResult, metric: str, row: str = BEST) -> Finding:
    (found,) = [f for f in result.findings if f.metric == metric and f.statistic == row]
    return found


@pytest.mark.parametrize(
    "protocol", ["fedavg", "fedprox", "layerwise-async", "fml", "fedkd", "fedckd", "feddf", "fedasync", "fedbuff"]
)
def test_one_record_a_step_is_read_from_every_update(protocol: str, small_config: Configure, tmp_path: Path) -> None:
    config = small_config(protocol=protocol, training=ONE_STEP, attack=CHEAP)
    result = ran(config, tmp_path)
    psnr, null = one(result, PSNR), one(result, PSNR, NULL)
    assert psnr.value is not None and psnr.value > 60 and psnr.headline
    assert null.value is not None and null.value < 20
    gain = one(result, GAIN + NULL)
    assert gain.low is not None and gain.low > 0
    (verdict,) = [v for v in result.verdicts if "look like" in v.claim]
    assert verdict.verdict == "refuted"


def test_a_result_holds_card_pictures_and_chance_rows(small_config: Configure, tmp_path: Path) -> None:
    config = small_config(protocol="fedavg", training=ONE_STEP, attack=CHEAP)
    result = ran(config, tmp_path)
    card = result.cards["server (honest-but-curious)"]
    assert card["labels"] == "recovered from the update" and "1 local step of sgd on 1 record" in card["attempted"]
    assert from_json(result.to_json()) == result
    for row in (MEAN, RANDOM, NEAREST):
        assert one(result, PSNR, row).value is not None
        assert ("nothing but public records" in one(result, PSNR, row).note) == (row != NEAREST)
    assert all((f.low or 0) >= 0 for f in result.findings if f.metric == "MSE")
    assert {f.statistic for f in result.findings if f.attack == "inversion"} > {BEST, MEAN, RANDOM, NEAREST, NULL}
    nearest, mean = one(result, PSNR, NEAREST).value, one(result, PSNR, MEAN).value
    assert nearest is not None and mean is not None and nearest > mean
    write_documents(result, tmp_path)
    assert (tmp_path / "figures" / "inversion-server.png").stat().st_size > 1000
    assert "What it knew" in (tmp_path / "report.html").read_text()


def test_private_training_is_attacked_as_the_rules_tell_it(small_config: Configure, tmp_path: Path) -> None:
    training = {"optimizer": "sgd", "lr": 0.5, "local_epochs": 1, "batch_size": 64}
    options, private = {"weighting": "uniform"}, {"name": "dp-sgd", "sigma": 0.01, "options": {"max_grad_norm": 0.3}}
    data = {"candidates": 6, "inclusion": 1.0}
    told = {**CHEAP, "inversion": {"iterations": 5, "messages": 1}}
    config = small_config(
        protocol="fedavg", options=options, training=training, data=data, defense=private, attack=told
    )
    card = recovered_of(config, tmp_path).card
    clipping = "each gradient to 0.3, their sum over 6, noise of deviation 0.0005"
    assert card["clipping"] == clipping and "simulated with gradients clipped to 0.3" in card["attempted"]
    blind = small_config(
        protocol="fedavg",
        options=options,
        training=training,
        data=data,
        defense=private,
        attack={**told, "inversion": {**told["inversion"], "adaptive": False}},
    )
    assert "clipping" not in recovered_of(blind, tmp_path / "blind").card


@pytest.mark.parametrize("protocol", ["fedavg", "fml", "fedkd", "fedasync", "fedbuff", "fedprox"])
def test_the_truth_explains_the_message(protocol: str, small_config: Configure, tmp_path: Path) -> None:
    """The examiner's batch, pushed through one step by hand, gives the update in the transcript."""
    config = small_config(protocol=protocol, training={**ONE_STEP, "batch_size": 5}, attack={"attacks": ()})
    env, played = resolve(config).environment(0)
    made = resolve(config).protocol
    run_federation(made, env, tmp_path)
    told = stored_transcript(tmp_path / "transcript")
    start = made.init(env).state.parts["server/model"]
    sent = next(m for m in told.messages if m.sender == client_name(1) and m.kind in ("weights", "update"))
    payload = told.payload(sent)
    module = env.workbench.module("mlp", "truth")
    module.load_state_dict(start)
    (ids,) = Batches(resolve(config).wire, played, 0).used(1, 1)
    assert len(ids) == 5 and set(ids) <= set(np.concatenate(env.members[1]))
    loss = F.cross_entropy(module(torch.from_numpy(env.dataset.x_train[ids]).float() / 255), _labels(env, ids))
    slopes = torch.autograd.grad(loss, list(module.parameters()))
    assert isinstance(payload, Weights | Update)
    for (name, _), slope in zip(module.named_parameters(), slopes, strict=True):
        change = payload.tensors[name] - (start[name] if isinstance(payload, Weights) else 0)
        alike = torch.cosine_similarity(change.flatten(), -slope.flatten(), dim=0)
        assert float(alike) > 0.98, name
    assert isinstance(module, nn.Module)


def _labels(env: Any, ids: Any) -> torch.Tensor:
    return torch.from_numpy(env.dataset.y_train[ids])


def test_public_pictures_are_no_leak(small_config: Configure) -> None:
    """Submitting public images, whatever the message, beats neither the best public guess nor the null."""
    config = small_config(protocol="fedavg", training=ONE_STEP, attack=CHEAP)
    played = resolve(config).game(0)
    scale = pixel_scale(played.dataset, played.division.auxiliary)
    public = scale.pixels(played.dataset.x_train[played.division.auxiliary])
    draw = np.random.default_rng(0)
    found = tuple(
        Recovered(t, k, t, "records", public[draw.integers(len(public), size=1)], np.zeros(1, dtype=np.int64), "public")
        for t in (1, 2)
        for k in range(3)
    )
    judged = cases(Batches(resolve(config).wire, played, 0), Reconstructions("updates", found, {}))
    assert len(judged) == 6
    gains = np.concatenate([case.scores[BEST].psnr - case.scores[NEAREST].psnr for case in judged])
    assert (gains <= 0).all()
    assert not any(case.told[BEST].any() for case in judged)
    paired = np.concatenate([case.scores[BEST].psnr - case.scores[NULL].psnr for case in judged])
    assert abs(paired.mean()) < 3 * paired.std() / np.sqrt(len(paired))


def test_a_planted_reconstruction_is_seen_and_its_null_is_not(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training={**ONE_STEP, "batch_size": 4}, attack=CHEAP)
    played = resolve(config).game(0)
    scale = pixel_scale(played.dataset, played.division.auxiliary)
    found = []
    for client in range(3):
        ids = Batches(resolve(config).wire, played, 0).all_used(client, 1)[::-1]
        images = scale.pixels(played.dataset.x_train[ids])
        found.append(Recovered(1, client, 1, "records", images, played.dataset.y_train[ids], "planted"))
    for case in cases(Batches(resolve(config).wire, played, 0), Reconstructions("updates", tuple(found), {})):
        assert (case.scores[BEST].psnr == 100).all() and case.label_share == 1
        assert (case.scores[NULL].psnr < 40).all() and case.images[BEST].shape == case.truths.shape
        assert (case.told[BEST] == 1).all() and case.told[NULL].mean() < 0.5


def random_pictures(config: Any, played: Any, batch: int, rounds: int) -> list[Case]:
    """Messages of three clients, reconstructed as random pictures of records that nobody trained on."""
    scale = pixel_scale(played.dataset, played.division.auxiliary)
    left = np.setdiff1d(np.arange(len(played.dataset.x_train)), [*played.candidates, *played.division.auxiliary])
    pixels, draw = scale.pixels(played.dataset.x_train[left]), np.random.default_rng(1)
    marks = np.zeros(batch, dtype=np.int64)
    found = tuple(
        Recovered(t, k, t, "records", pixels[draw.choice(len(left), batch, replace=False)], marks, "random")
        for t in range(1, rounds + 1)
        for k in range(3)
    )
    return cases(Batches(resolve(config).wire, played, 0), Reconstructions("updates", found, {}))


def test_the_best_matching_raises_the_chance_of_telling_a_record(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training={**ONE_STEP, "batch_size": 8}, attack=CHEAP)
    judged = random_pictures(config, resolve(config).game(0), 8, 20)
    hits, chance = np.concatenate([case.told[BEST] for case in judged]).mean(), judged[0].told_chance
    assert chance == 8 / (40 + 8)
    assert 2 / 41 < hits < chance + 0.05


def test_rounds_on_the_same_records_are_one_unit(small_config: Configure) -> None:
    assert units_of([np.array(ids) for ids in ([1, 2], [3], [2, 4], [5], [4, 3])]) == [4, 4, 4, 3, 4]
    config = small_config(protocol="fedavg", training={"local_epochs": 1}, attack=CHEAP)
    judged = random_pictures(config, resolve(config).game(0), 4, 2)
    assert len(judged) == 6 and len({case.unit for case in judged}) == 3
    writer = _Writer(0.95, Adversary("server"), "updates", judged, "")
    thrice = _Writer(0.95, Adversary("server"), "updates", [case for case in judged for _ in range(3)], "")
    for metric in (PSNR, "share above 20 dB", "told from 40 public images"):
        own, again = (next(f for f in w.all() if f.metric == metric and f.statistic == BEST) for w in (writer, thrice))
        assert own.low is not None and again.low is not None and own.high is not None and again.high is not None
        assert own.value == pytest.approx(again.value)
        if metric == PSNR:
            assert again.high - again.low == pytest.approx(own.high - own.low)


def test_images_of_one_message_are_no_independent_hits(small_config: Configure) -> None:
    """One message out of three read in full: half of all images at most, and no narrow interval."""
    config = small_config(protocol="fedavg", training={**ONE_STEP, "batch_size": 20}, attack=CHEAP)
    played = resolve(config).game(0)
    scale = pixel_scale(played.dataset, played.division.auxiliary)
    found = []
    for client in range(3):
        ids = Batches(resolve(config).wire, played, 0).all_used(client, 1)
        images = scale.pixels(played.dataset.x_train[ids]) if client == 0 else np.full((len(ids), 1, 8, 8), 0.5)
        found.append(Recovered(1, client, 1, "records", images, played.dataset.y_train[ids], "planted"))
    judged = cases(Batches(resolve(config).wire, played, 0), Reconstructions("updates", tuple(found), {}))
    rows = _Writer(0.95, Adversary("server"), "updates", judged, "").all()
    share = next(f for f in rows if f.metric == "share above 30 dB" and f.statistic == BEST)
    assert share.value == pytest.approx(1 / 3) and share.low == 0 and share.high == 1
    alone = _Writer(0.95, Adversary("server"), "updates", judged[:1], "").all()
    share = next(f for f in alone if f.metric == "share above 30 dB" and f.statistic == BEST)
    assert share.value == 1 and share.low is None and share.high is None


@pytest.mark.parametrize(
    ("protocol", "init", "known"),
    [
        ("layerwise-async", "shared", True),
        ("layerwise-async", "independent", False),
        ("fedavg", "independent", True),
        ("fml", "independent", True),
    ],
)
def test_a_start_of_one_client_is_no_common_start(
    protocol: str, init: str, known: bool, small_config: Configure
) -> None:
    config = small_config(protocol=protocol, training={**ONE_STEP, "init": init}, attack=CHEAP)
    env, _ = resolve(config).environment(0)
    assert (common_start(resolve(config).protocol, env) is not None) == known


def test_an_active_server_reads_records_from_any_model(small_config: Configure, tmp_path: Path) -> None:
    config = small_config(
        protocol="fedavg",
        training={**ONE_STEP, "batch_size": 4, "model": "cnn"},
        attack={**CHEAP, "adversaries": ("active-server",)},
    )
    result = ran(config, tmp_path)
    share = one(result, "share above 30 dB")
    assert share.value is not None and share.value >= 0.8
    assert one(result, PSNR, NULL).value < 20  # type: ignore[operator]
    assert "bins" in result.cards["server (active)"]


def test_secure_aggregation_leaves_the_mean(small_config: Configure, tmp_path: Path) -> None:
    config = small_config(
        protocol="fedavg",
        options={"weighting": "uniform"},
        training=ONE_STEP,
        defense={"name": "secure-aggregation"},
        attack={**CHEAP, "inversion": {"methods": ("analytic",)}},
    )
    found = recovered_of(config, tmp_path)
    assert found.observation == "mean update of all clients" and "mean of 3 clients' updates" in found.notes[0]
    assert [one.client for one in found.found] == [-1, -1] and found.found[0].images.shape[0] == 3


def recovered_of(config: Any, where: Path) -> Reconstructions:
    ran(config, where)
    found = recovered.load(where / "observed" / "server--inversion.safetensors")
    assert isinstance(found, Reconstructions)
    return found


def test_pruned_coordinates_are_unknown_to_an_adaptive_attacker(small_config: Configure, tmp_path: Path) -> None:
    settings = {"protocol": "fedavg", "training": ONE_STEP, "defense": {"name": "gradient-pruning"}}
    knows = recovered_of(small_config(**settings, attack=CHEAP), tmp_path / "adaptive")
    other = {**CHEAP, "inversion": {"iterations": 20, "messages": 6, "adaptive": False}}
    blind = recovered_of(small_config(**settings, attack=other), tmp_path / "unaware")
    assert knows.card["defense"].endswith("known to the attacker") and "unknown" in blind.card["defense"]
    assert max(one.loss for one in knows.found) < 1e-2 < min(one.loss for one in blind.found)


def test_many_records_give_one_image_a_class(small_config: Configure, tmp_path: Path) -> None:
    attack = {**CHEAP, "inversion": {"iterations": 20, "messages": 6, "methods": ("cosine",)}}
    result = ran(small_config(protocol="fedavg", attack=attack), tmp_path)
    assert "one image a class" in result.cards["server (honest-but-curious)"]["attempted"]
    assert one(result, PSNR, CLASS_MEAN).value is not None
    (verdict,) = [v for v in result.verdicts if "look like" in v.claim]
    assert verdict.verdict == "inconclusive" and "no proof of privacy" in verdict.why


def test_predictions_have_no_gradient_and_the_card_says_so(small_config: Configure, tmp_path: Path) -> None:
    config = small_config(protocol="mutual", attack={**CHEAP, "surrogate_epochs": 2})
    result = ran(config, tmp_path)
    assert "there is no gradient" in result.cards["server (honest-but-curious)"]["shared"]
    names = {f.statistic for f in result.findings}
    assert {"dictionary", "paired-logits", "surrogate", "prior", CLASS_MEAN, NULL} <= names


def test_binary_features_are_scored_one_by_one(small_config: Configure, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = (draw.random((600, 20)) < draw.random(20)).astype(np.float32)
    np.savez(tmp_path / "bits.npz", x=x, y=np.arange(600) % 3)
    data = {"dataset": "npz", "data_dir": str(tmp_path / "bits.npz"), "candidates": 30, "duplicates": "keep"}
    config = small_config(protocol="fedavg", data={**data, "inclusion": 1.0}, training=ONE_STEP, attack=CHEAP)
    result = ran(config, tmp_path / "run")
    right = one(result, "features right")
    assert right.value == 1.0 and right.chance is not None and 0.5 < right.chance < 1
    assert not (tmp_path / "run" / "pictures").exists()
    names = {name for f in result.findings for name in (f.statistic, f.metric, f.note)}
    assert "mean public record" in names and not any("image" in name or "picture" in name for name in names)
    assert result.cards["server (honest-but-curious)"]["input"].startswith("20 features")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "local"}, "sends nothing"),
        ({"protocol": "fedproto"}, "use --attack labels or membership"),
        ({"protocol": "mutual", "attack": {"adversaries": ("active-server",)}}, "malicious model"),
        ({"protocol": "fedasync", "attack": {"adversaries": ("client-0",)}}, "no mean of one round"),
        ({"protocol": "fedavg", "attack": {"adversaries": ("client-7",)}}, "there are 3 clients, 0 to 2"),
        ({"protocol": "fedavg", "data": {"auxiliary": 0}}, "--auxiliary"),
        ({"protocol": "fedavg", "attack": {"inversion": {"methods": ("magic",)}}}, "no inversion attack 'magic'"),
    ],
)
def test_misuse_is_one_line_before_any_training(changes: dict[str, Any], words: str, small_config: Configure) -> None:
    attack = {**CHEAP, **changes.get("attack", {})}
    with pytest.raises(UsageError, match=words):
        resolve(small_config(**{**changes, "attack": attack}))


def test_a_picture_with_thick_strokes_is_recognised(small_config: Configure, tmp_path: Path) -> None:
    """A first step of adam sends signs: pixels are off, and yet the record is told from all public ones."""
    training = {"local_steps": 1, "batch_size": 1, "optimizer_state": "persistent"}
    config = small_config(protocol="fedavg", training=training, attack=CHEAP)
    result = ran(config, tmp_path)
    told = one(result, "told from 40 public images")
    assert told.value is not None and told.low is not None and told.low > 0.3
    null = one(result, "told from 40 public images", NULL)
    assert null.value is not None and null.value < 0.2
    (verdict,) = [v for v in result.verdicts if "look like" in v.claim]
    assert verdict.verdict == "refuted" or "recognised" in verdict.why


def one_step(game: Any, wire: Any) -> None:
    """A loop of one's own that follows the settings: one step on records that it draws itself."""
    shared = game.model()
    wire.started(shared)
    for number in range(1, game.rounds + 1):
        for client in range(game.clients):
            net, (x, y) = copy.deepcopy(shared), game.private(client)
            rows = torch.randperm(len(x))[: game.training.batch_size]
            F.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
            game.optimizer(net.parameters()).step()
            wire.sent(number, f"client-{client}", "server", weights=net.state_dict())
        wire.sent(number, "server", [f"client-{client}" for client in range(game.clients)], weights=shared.state_dict())


def test_the_records_that_a_loop_of_ones_own_drew_are_not_made_up(small_config: Configure, tmp_path: Path) -> None:
    name = parts.refer(one_step)
    config = small_config(protocol=name, training=ONE_STEP, attack=CHEAP)
    study = resolve(config)
    game = study.game(0)
    for named, told in ((True, True), (study.named_batches, False)):
        assert Batches(study.wire, game, 0, named).told is told
    (whole,) = Batches(study.wire, game, 0, named=False).used(1, 1)
    np.testing.assert_array_equal(whole, game.members()[1][0])
    found = ran(config, tmp_path)
    assert UNTOLD in one(found, PSNR).note
    stated = {**CHEAP, "inversion": {"knowledge": "strong"}}
    with pytest.raises(UsageError, match="their labels cannot be handed over"):
        resolve(small_config(protocol=name, training=ONE_STEP, attack=stated))


def test_many_records_are_read_as_a_mixture_of_public_ones(small_config: Configure, tmp_path: Path) -> None:
    """Skewed clients: their counts and class means come out better than a guess, and another client's do not."""
    data = {"partition": "dirichlet", "alpha": 0.3, "auxiliary": 400, "candidates": 80}
    config = small_config(protocol="fedavg", data=data, attack={**CHEAP, "inversion": {"methods": ("dictionary",)}})
    found = recovered_of(config, tmp_path)
    assert {one.attack for one in found.found} == {"dictionary"} and all(0 < one.loss < 1 for one in found.found)
    study = resolve(config)
    judged = cases(Batches(study.wire, study.game(0), 0), found)
    right, chance = (np.mean([getattr(case, name) for case in judged]) for name in ("label_share", "label_chance"))
    assert right > chance + 0.15
    gains = np.concatenate([case.scores[BEST].psnr - case.scores[NULL].psnr for case in judged])
    assert gains.mean() > 0.3
    few = small_config(protocol="fedavg", data={"auxiliary": 10}, attack=CHEAP)
    assert any("raise data.auxiliary" in note for note in recovered_of(few, tmp_path / "few").notes)


def test_records_without_a_basis_are_read_as_a_mixture_all_the_same(small_config: Configure, tmp_path: Path) -> None:
    """Plain steps on many records: exact reading is tried first, finds none, and the client is played after all."""
    config = small_config(
        protocol="fedavg",
        rounds=1,
        data={"auxiliary": 100, "candidates": 24, "inclusion": 1.0},
        training={"optimizer": "sgd", "lr": 0.1, "local_steps": 4, "batch_size": 32},
        attack={**CHEAP, "budget": "3 steps", "inversion": {"messages": 2}},
    )
    found = recovered_of(config, tmp_path)
    assert any("spear" in note for note in found.notes), found.notes
    assert "dictionary" in {one.attack for one in found.found}
