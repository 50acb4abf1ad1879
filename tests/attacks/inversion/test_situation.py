"""What is attempted follows from the settings and from nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.gradients import Layout, frozen_copy
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge, Start
from fedprivacy.attacks.inversion.label_recovery import present_labels
from fedprivacy.attacks.inversion.matching import cosine, squared_l2
from fedprivacy.attacks.inversion.messages import Sent
from fedprivacy.attacks.inversion.situation import Private, Situation, situation, told
from fedprivacy.attacks.inversion.told import held_against
from fedprivacy.attacks.inversion.told import told as told_of
from fedprivacy.attacks.inversion.unroll import UpdateMap
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.data.pixels import PixelScale
from fedprivacy.models.build import build
from fedprivacy.study.resolve import resolve

Configure = Callable[..., Any]
SCALE = PixelScale((1, 8, 8))
SGD = {"optimizer": "sgd", "lr": 0.1}
UNIFORM = {"weighting": "uniform"}


def sent(records: int, number: int = 1, merged: int = 1) -> Sent:
    return Sent(number, 0, number, {}, {}, records, merged)


def planned(config: RunConfig, *rest: Any) -> Situation:
    return situation(resolve(config).wire, config.attack.inversion, *rest)


@pytest.mark.parametrize(
    ("training", "records", "kind", "steps", "lr"),
    [
        ({**SGD, "local_steps": 1, "batch_size": 4}, 30, "records", 1, 0.1),
        ({"local_steps": 1, "batch_size": 4}, 30, "records", 1, 1e-3),
        ({"local_steps": 1, "batch_size": 4, "weight_decay": 0.1}, 30, "records", 1, None),
        ({**SGD, "local_epochs": 1, "batch_size": 2}, 5, "records", 3, 0.1),
        ({**SGD, "local_epochs": 2, "batch_size": 4}, 8, "records", 4, 0.1),
        ({"local_epochs": 1, "batch_size": 2}, 5, "records", 3, 1e-3),
        ({"local_epochs": 1, "batch_size": 2, "weight_decay": 0.1}, 5, "classes", 3, None),
        ({**SGD, "local_epochs": 2, "batch_size": 32}, 200, "classes", 14, None),
        ({**SGD, "local_steps": 1, "batch_size": 64}, 200, "classes", 1, None),
        ({**SGD, "momentum": 0.9, "local_epochs": 1, "batch_size": 2}, 6, "classes", 3, None),
        ({**SGD, "local_steps": 4, "batch_size": 2}, 6, "classes", 4, None),
    ],
)
def test_steps_and_records_decide(
    training: dict[str, Any], records: int, kind: str, steps: int, lr: float | None, small_config: Configure
) -> None:
    config = small_config(protocol="fedavg", training=training)
    plan = planned(config, sent(records), SCALE, 10)
    assert (plan.kind, plan.steps, plan.card.lr) == (kind, steps, lr)


@pytest.mark.parametrize(
    ("changes", "number", "past", "kind"),
    [
        ({}, 3, 2, "records"),
        ({"training": {"optimizer_state": "fresh"}}, 3, 0, "records"),
        ({"data": {"schedule": "fresh"}}, 3, 0, "classes"),
        ({"training": {"batch_size": 4}}, 3, 0, "classes"),
        ({"training": {"local_steps": 20}}, 3, 0, "classes"),
        ({}, 5, 0, "classes"),
    ],
)
def test_kept_moments_are_simulated_where_they_can_be_known(
    changes: dict[str, dict[str, Any]], number: int, past: int, kind: str, small_config: Configure
) -> None:
    """Of all rounds but the fifth the start is in sight."""
    training = {"local_steps": 2, "batch_size": 8, "optimizer_state": "persistent", **changes.get("training", {})}
    config = small_config(protocol="fedavg", training=training, data=changes.get("data", {}))
    earlier = tuple(Start({}) for _ in range(number - 1)) if number < 5 else None
    plan = planned(config, replace(sent(8, number), earlier=earlier), SCALE, 10)
    assert plan.kind == kind
    if kind == "records":
        assert plan.card.adam is not None and len(plan.card.adam.past) == past
    else:
        assert plan.card.lr is None and "moments that adam brings from earlier rounds are not told" in plan.attempt


@pytest.mark.parametrize("steps", [1, 2])
def test_adam_is_simulated_from_its_first_step_on_where_its_moments_are_zero(
    steps: int, small_config: Configure
) -> None:
    config = small_config(protocol="fedavg", training={"local_steps": steps, "batch_size": 4})
    plan = planned(config, sent(4), SCALE, 10)
    assert (plan.one_step, plan.card.adam, plan.card.steps) == (False, Adam(), steps)
    assert "from zero moments" in plan.attempt
    kept = small_config(
        protocol="fedavg", training={"local_steps": steps, "batch_size": 4, "optimizer_state": "persistent"}
    )
    later = planned(kept, sent(4, number=2), SCALE, 10)
    assert later.one_step and later.card.adam is None and later.card.lr is None


def test_a_loss_with_more_terms_hides_the_scale(small_config: Configure) -> None:
    training = {**SGD, "local_steps": 1, "batch_size": 1}
    for protocol in ("fml", "fedkd", "fedckd"):
        plan = planned(small_config(protocol=protocol, training=training), sent(9), SCALE, 10)
        assert plan.kind == "records" and plan.card.lr is None


def test_private_training_is_simulated_where_each_step_takes_all_records(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training=SGD, options=UNIFORM, defense={"name": "dp-sgd", "sigma": 1.0})
    every = Private(clip=0.5, expected=8.0, deviation=0.06, steps=2, every=True)
    plan = planned(config, sent(8), SCALE, 10, (), 0, every)
    card = plan.card
    assert (plan.kind, card.lr, card.steps, card.clip, card.expected, card.noise) == ("records", 0.1, 2, 0.5, 8.0, 0.06)
    once = replace(every, expected=3.6, steps=1, every=False)
    assert planned(config, sent(30), SCALE, 10, (), 0, once).card.records == 4
    assert planned(config, sent(30), SCALE, 10, (), 0, replace(once, steps=2)).kind == "classes"
    untold = planned(config, sent(8), SCALE, 10)
    assert untold.card.lr is None and untold.card.clip is None


def test_random_batches_of_several_private_steps_are_simulated_on_average(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training=SGD, options=UNIFORM, defense={"name": "dp-sgd", "sigma": 1.0})
    private = Private(clip=0.5, expected=2.0, deviation=0.25, steps=4, every=False, share=0.25)
    plan = planned(config, sent(8), SCALE, 10, (), 0, private)
    assert (plan.kind, plan.card.records, plan.card.expected, plan.card.steps) == ("records", 8, 8.0, 4)
    assert "who was in which is not known, and how much that varies is not in the noise" in plan.attempt
    assert "not known" not in replace(private, every=True).told and "not known" not in replace(private, steps=1).told


def test_layers_that_were_not_sent_and_factors_are_on_the_card(small_config: Configure) -> None:
    training = {**SGD, "local_epochs": 2, "batch_size": 4}
    plan = planned(small_config(protocol="fedavg", training=training), sent(8), SCALE, 10, ("head.weight",))
    assert plan.card.silent == ("head.weight",) and plan.card.zeros == "known" and plan.steps == 4
    one = replace(sent(8), change={"w": torch.zeros(3, 3), "b": torch.zeros(3)})
    assert planned(small_config(protocol="fedkd", training=training), one, SCALE, 10).card.low_rank == ("w",)


def test_a_mean_counts_everybodys_records(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training={**SGD, "local_steps": 1, "batch_size": 2})
    plan = planned(config, sent(9, merged=3), SCALE, 10)
    assert plan.card.records == 6
    assert told([plan], "sgd", 3)[0].startswith("the mean of 3 clients' updates is 1 local step of sgd on 2 records of")


def test_every_protocol_is_attacked_or_refused_in_one_line(small_config: Configure) -> None:
    sources = {}
    for name in CARDS:
        config = small_config(protocol=name, attack={"attacks": ("inversion",)})
        try:
            ((_, sources[name]),) = resolve(config).seats.inversion
        except UsageError as error:
            assert "\n" not in str(error)
            sources[name] = "refused"
    assert {n for n, s in sources.items() if s == "refused"} == {"local", "central", "fedproto", "profe"}
    assert {n for n, s in sources.items() if s == "predictions"} == {"mutual", "fedmd", "ds-fl", "cfd", "fedkd-hybrid"}


def test_coordinates_that_are_zero_count_for_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    simulated, observed = (torch.randn(3, 9, generator=draw, dtype=torch.float64) for _ in range(2))
    observed[:, ::2] = 0
    for distance in (cosine, squared_l2):
        seen = told_of(Knowledge((1, 3, 3), 2, zeros="unknown"), Layout((("w", (9,)),)), observed)
        value, slope = held_against(distance, observed, seen)(simulated, torch.arange(3))
        known, known_slope = distance(simulated[:, 1::2], observed[:, 1::2])
        torch.testing.assert_close(value, known)
        torch.testing.assert_close(slope[:, 1::2], known_slope)
        assert (slope[:, ::2] == 0).all()


def test_present_classes_are_dealt_in_turn() -> None:
    model = build("mlp", (1, 8, 8), 4, "softmax", 0, "net")
    update = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    update["head.bias"] = torch.tensor([-1.0, 1.0, -1.0, 0.5])
    assert present_labels(model, update, 1).tolist() == [1]
    assert present_labels(model, update, 3).tolist() == [1, 1, 3]
    update["head.bias"] = -torch.ones(4)
    assert len(present_labels(model, update, 2)) == 2


def test_a_last_batch_may_be_smaller() -> None:
    model = build("mlp", (1, 8, 8), 4, "softmax", 0, "net").double()
    card = Knowledge((1, 8, 8), 4, shared="update", records=5, batch=2, lr=0.1)
    assert card.steps == 3
    like = torch.zeros(1, dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(1, 5, 1, 8, 8, generator=draw, dtype=torch.float64)
    targets = torch.eye(4, dtype=torch.float64)[torch.arange(5) % 4][None]
    start = {name: value.clone() for name, value in model.state_dict().items()}
    found = UpdateMap(frozen_copy(model, start, card, like), card).gradients(x, targets)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x[0, rows]), targets[0, rows].argmax(1)).backward()
        optimiser.step()
    change = torch.cat([((start[name] - value) / 0.1).flatten() for name, value in model.named_parameters()])
    torch.testing.assert_close(found[0], change.detach())


def test_clocks_share_what_is_left() -> None:
    assert not UNLIMITED.over and UNLIMITED.part(0.1) is UNLIMITED
    assert Clock(0.0).over
    part = Clock(100.0).part(0.25)
    assert part.seconds is not None and 24 < part.seconds <= 25


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60.0), ("60 s", 60.0), ("2m", 120.0), ("0.5h", 1800.0), (45, 45.0)]
)
def test_budgets_are_times(text: str, seconds: float) -> None:
    assert AttackConfig(budget=text).budget == AttackConfig(budget=text).seconds == seconds


@pytest.mark.parametrize("text", ["soons", "infs", "nans", "-5s", "s", ""])
def test_a_budget_that_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValidationError, match=f"'{text}' is not a time such as 60s or 2m"):
        AttackConfig(budget=text)


def test_the_blind_know_neither_scale_nor_number(small_config: Configure) -> None:
    training = {**SGD, "local_epochs": 1, "batch_size": 2}
    config = small_config(protocol="fedavg", training=training, attack={"inversion": {"knowledge": "blind"}})
    plan = planned(config, sent(30), SCALE, 10)
    assert (plan.kind, plan.card.records, plan.card.lr, plan.card.labels) == ("records", 1, None, "joint")
    assert plan.card.public_images == 0 and plan.steps == 15


def test_a_budget_may_be_steps() -> None:
    by_steps, by_time = AttackConfig(budget="400steps"), AttackConfig(budget=60.0)
    assert by_steps == AttackConfig(budget="400 steps") and by_steps.budget == "400 steps"
    assert (by_steps.steps, by_steps.seconds) == (400, None) and (by_time.steps, by_time.seconds) == (None, 60.0)
    assert AttackConfig(budget="none").budget is None
    by_rounds = AttackConfig(budget="4rounds")
    assert (by_rounds.first_rounds, by_rounds.steps, by_rounds.seconds, by_steps.first_rounds) == (4, None, None, None)
    for wrong in ("400", "0 rounds", "0 steps", -1.0):
        with pytest.raises(ValidationError, match="budget"):
            AttackConfig(budget=wrong)


def test_clocks_count_the_work_of_this_process_alone() -> None:
    clock = Clock(0.02)
    time.sleep(0.05)
    slept = clock.spent()
    sum(range(3_000_000))
    assert slept < 1 < clock.spent()
