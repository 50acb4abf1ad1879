"""Inversion class by class from end to end: of updates of many records, and of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.attacks.inversion import clock, from_predictions, observe, plans, prior_classes, surrogate_inversion
from fedprivacy.attacks.inversion.best import Outcome
from fedprivacy.attacks.inversion.exact import read
from fedprivacy.attacks.inversion.messages import Sent
from fedprivacy.attacks.inversion.observe import observe_inversion
from fedprivacy.attacks.inversion.pli import InversionNetwork
from fedprivacy.attacks.inversion.recovered import Reconstructions
from fedprivacy.study.inversion import invert
from fedprivacy.study.inversion.batches import Batches
from fedprivacy.study.inversion.findings import GAIN, PSNR
from fedprivacy.study.inversion.reconstructed import (
    BEST,
    CLASS_MEAN,
    NULL,
    PRIOR,
    UNIFORM,
    cases,
)
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Learner
from tests.study.inversion_runs import CHEAP, Configure, one, ran, recovered_of


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


def test_many_records_are_read_as_a_mixture_of_public_ones(small_config: Configure, tmp_path: Path) -> None:
    """Skewed clients: their counts and class means come out better than a guess, and another client's do not."""
    data = {"partition": "dirichlet", "alpha": 0.3, "auxiliary": 400, "candidates": 80}
    config = small_config(protocol="fedavg", data=data, attack={**CHEAP, "inversion": {"methods": ("dictionary",)}})
    found = recovered_of(config, tmp_path)
    assert {one.attack for one in found.found} == {"dictionary"} and all(0 < one.loss < 1 for one in found.found)
    study = resolve(config)
    judged = cases(Batches(study.wire, study.game(0), 0), found)
    right = np.mean([case.label_share for case in judged])
    assert right > max(np.mean([case.label_guesses[name] for case in judged]) for name in (UNIFORM, PRIOR)) + 0.15
    gains = np.concatenate([case.scores[BEST].psnr - case.scores[NULL].psnr for case in judged])
    assert gains.mean() > 0.3
    few = small_config(protocol="fedavg", data={"auxiliary": 10}, attack=CHEAP)
    assert any("raise data.auxiliary" in note for note in recovered_of(few, tmp_path / "few").notes)


def test_records_without_a_basis_are_read_as_a_mixture_all_the_same(
    small_config: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain steps on many records: exact reading is tried first, and a client whose records it does not find is played
    after all, also where another's were found. Here the search gives up once it has found one message, since which of
    them it finds hangs on a processor's rounding."""
    config = small_config(
        protocol="fedavg",
        rounds=1,
        data={"auxiliary": 100, "candidates": 24, "inclusion": 1.0},
        training={"optimizer": "sgd", "lr": 0.1, "local_steps": 4, "batch_size": 32},
        attack={**CHEAP, "budget": "12 steps", "inversion": {"messages": 2}},
    )
    search, searched = read.spear, []

    def one_alone(*given: Any) -> Any:
        searched.append(None if any(searched) else search(*given))
        return searched[-1]

    monkeypatch.setattr(read, "spear", one_alone)
    found = recovered_of(config, tmp_path)
    assert any("no basis was found" in note for note in found.notes), found.notes
    assert {one.attack for one in found.found} == {"spear", "dictionary"}


def test_messages_without_a_basis_run_with_those_of_their_own_card_alone(
    small_config: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rank is told of all of them, though they are of different numbers of records."""
    calls = list[tuple[bool, set[int]]]()

    def attacked(sent: Sequence[Sent], made: plans.Plans, *_: Any) -> tuple[Outcome, Tensor]:
        card, number = made.of(sent[0]).card, len(sent)
        calls.append((made.of(sent[0]).exact_only, {made.of(one).card.records for one in sent}))
        images = torch.full((number, card.records, *card.input_shape), torch.nan).double()
        targets = torch.zeros(number, card.records, card.classes).double()
        return Outcome(images, targets, images[:, 0, 0, 0, 0], ("",) * number, (), ()), targets.argmax(2)

    monkeypatch.setattr(plans, "seen", lambda *_: SimpleNamespace(rank=17))
    monkeypatch.setattr(observe, "_attacked", attacked)
    config = small_config(
        protocol="fedavg",
        rounds=1,
        data={"auxiliary": 100, "candidates": 24, "partition": "dirichlet", "alpha": 0.3},
        training={"optimizer": "sgd", "lr": 0.1, "local_steps": 1, "batch_size": 16},
        attack={**CHEAP, "inversion": {"methods": ("spear", "cosine")}},
    )
    assert any(len(one.images) == 0 for one in recovered_of(config, tmp_path).found)
    assert calls[0] == (True, {17}) and len(calls) > 2
    assert all(not exact and len(numbers) == 1 for exact, numbers in calls[1:])


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts passes and steps in the place of processor time: how fast a processor is has no part in a test."""
    done = [0]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def once(*given: Any) -> Any:
            done[0] += 1
            return function(*given)

        return once

    monkeypatch.setattr(clock, "process_time", lambda: float(done[0]))
    monkeypatch.setattr(Learner, "_epoch", counted(Learner._epoch))
    monkeypatch.setattr(surrogate_inversion, "total_variation", counted(surrogate_inversion.total_variation))
    monkeypatch.setattr(InversionNetwork, "forward", counted(InversionNetwork.forward))
    monkeypatch.setattr(prior_classes, "_surprise", counted(prior_classes._surprise))
    return done


def test_inversion_of_predictions_keeps_to_a_budget_of_time(
    small_config: Configure, tmp_path: Path, work: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Surrogates that would train for ever, and pictures that would be drawn for ever."""
    spent = list[int]()

    def watched(*given: Any) -> Reconstructions:
        before = work[0]
        found = observe_inversion(*given)
        spent.append(work[0] - before)
        return found

    monkeypatch.setattr(invert, "observe_inversion", watched)
    endless = {"iterations": 100_000, "methods": ("paired-logits", "surrogate", "prior")}
    attack = {"attacks": ("inversion",), "budget": 400.0, "surrogate_epochs": 100_000, "inversion": endless}
    found = recovered_of(small_config(protocol="mutual", attack=attack), tmp_path)
    assert len(found.found) == 3 and any("stopped by the budget" in note for note in found.notes)
    assert all({"surrogate", "prior", "paired-logits"} <= set(one.others) for one in found.found)
    assert spent and 360 <= spent[0] <= 440


def test_a_budget_in_steps_is_one_of_a_surrogates_passes_too(
    small_config: Configure, tmp_path: Path, work: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = list[int]()
    fit = Learner.fit

    def watched(self: Learner, records: Any, epochs: int, seed: Any, *given: Any, **named: Any) -> Any:
        if "surrogate" in seed[1]:
            passes.append(epochs)
        return fit(self, records, epochs, seed, *given, **named)

    monkeypatch.setattr(Learner, "fit", watched)
    attack = {
        "attacks": ("inversion",),
        "budget": "7 steps",
        "surrogate_epochs": 50,
        "inversion": {"methods": ("surrogate",)},
    }
    recovered_of(small_config(protocol="mutual", attack=attack), tmp_path)
    assert passes == [7, 7, 7]


def test_methods_that_a_clients_share_of_the_budget_leaves_out_are_named(
    small_config: Configure, tmp_path: Path, work: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two clients the first one's answers as a mixture take more than its share."""

    def long(*given: Any) -> Any:
        work[0] += 150
        return SimpleNamespace(images=np.zeros((10, 1, 8, 8)), notes=())

    monkeypatch.setattr(from_predictions, "answer_mixture", long)
    wanted = {"messages": 2, "methods": ("dictionary", "surrogate", "prior")}
    attack = {"attacks": ("inversion",), "budget": 250.0, "surrogate_epochs": 2, "inversion": wanted}
    found = recovered_of(small_config(protocol="mutual", attack=attack), tmp_path)
    why = "was not run: the share of the budget of client 0 was spent"
    assert {f"surrogate {why}", f"prior {why}"} <= set(found.notes)


def test_where_no_client_can_be_played_a_guess_is_the_answer_and_shows_nothing(
    small_config: Configure, tmp_path: Path
) -> None:
    """The adversary owns fewer records than a client. No reconstruction falls below what it holds without the message,
    attacks that were run are told beside it, and those that are asked for by name alone are left as they are."""
    data = {"auxiliary": 10}
    result = ran(small_config(protocol="fedavg", data=data, attack=CHEAP), tmp_path)
    chosen, cosine = one(result, PSNR), one(result, PSNR, "cosine")
    assert chosen.value is not None and chosen.value == one(result, PSNR, NULL).value
    assert chosen.value == pytest.approx(one(result, PSNR, CLASS_MEAN).value)
    assert cosine.value is not None and cosine.value < chosen.value
    assert "a guess is the answer" in chosen.note
    gains = [f for f in result.findings if f.metric.startswith(GAIN) and f.metric[len(GAIN) :] in (CLASS_MEAN, NULL)]
    assert len(gains) == 2 and all((f.value, f.low, f.high) == pytest.approx((0, 0, 0), abs=1e-6) for f in gains)
    (verdict,) = [v for v in result.verdicts if "look like" in v.claim]
    assert verdict.verdict == "inconclusive"
    alone = {**CHEAP, "inversion": {"iterations": 20, "messages": 2, "methods": ("cosine",)}}
    found = recovered_of(small_config(protocol="fedavg", data=data, attack=alone), tmp_path / "alone")
    assert {one.attack for one in found.found} == {"cosine"}
