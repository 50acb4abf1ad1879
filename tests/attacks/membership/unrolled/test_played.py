"""Replays are made once for all seats that follow a client with the same draws, and only where they are the same."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from fedprivacy.attacks.membership.unrolled.played import NoDigest, Played, Shelf, digest
from fedprivacy.attacks.membership.unrolled.replay import Replay
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Event, Fit, Private
from fedprivacy.models.build import build
from fedprivacy.training.learner import Learner, Loss, Records, Seed, Workbench, label_loss
from fedprivacy.training.taught import Taught

draw = np.random.default_rng(0)
X, Y = draw.random((40, 1, 3, 4), dtype=np.float32), draw.integers(0, 3, 40)
MEMBERS, PUBLIC = [Records(X[:20], Y[:20])], Records(X[20:30], Y[20:30])
TARGET = torch.log_softmax(torch.from_numpy(draw.random((10, 3), dtype=np.float32)), 1)
ASKED = {1: X[20:30], 2: X[30:36]}


def a_replay(loss: Loss, bench: Workbench | None = None) -> Replay:
    bench = bench or Workbench(lambda name, seed: build(name, (1, 3, 4), 3, "softmax", seed[0], *seed[1]), CONFIG)
    events: list[Event] = [Private(1), Answer(1), Fit(PUBLIC, loss, 2, "public", round=1), Private(2), Answer(2)]
    return Replay(bench, "mlp-small", bench.initial("mlp-small", (0, ("start",))), events)


CONFIG = TrainingConfig(batch_size=8)


def naming(root: int, event: Private | Fit) -> Seed:
    return root, ("replay", type(event).__name__, event.round)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each fit."""
    made: list[int] = []
    fit = Learner.fit

    def counted(self: Learner, records: Records, *args: object, **kwargs: object) -> object:
        made.append(len(records))
        return fit(self, records, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "fit", counted)
    return made


def test_another_seat_is_given_what_was_played(fits: list[int]):
    first = a_replay(Taught(TARGET, None, 1.0))
    said = first.answers(MEMBERS, ASKED, partial(naming, 1))
    assert len(fits) == 3
    other = a_replay(Taught(TARGET.clone(), None, 1.0), first.bench.with_training(CONFIG))
    again = other.answers(MEMBERS, ASKED, partial(naming, 1))
    assert len(fits) == 3
    for round in ASKED:
        torch.testing.assert_close(again[round], said[round], rtol=0, atol=0)


def test_the_last_model_answers_other_questions(fits: list[int]):
    replay = a_replay(Taught(TARGET, None, 1.0))
    replay.answers(MEMBERS, ASKED, partial(naming, 1))
    asked = {1: ASKED[1], 2: X[34:]}
    found = replay.answers(MEMBERS, asked, partial(naming, 1))
    assert len(fits) == 3
    expected = a_replay(Taught(TARGET, None, 1.0)).answers(MEMBERS, asked, partial(naming, 1))
    assert len(fits) == 6
    for round in asked:
        torch.testing.assert_close(found[round], expected[round], rtol=0, atol=0)


def test_what_differs_is_played_anew(fits: list[int]):
    replay = a_replay(Taught(TARGET, None, 1.0))
    replay.answers(MEMBERS, ASKED, partial(naming, 1))
    others = [
        lambda: replay.answers(MEMBERS, ASKED, partial(naming, 2)),
        lambda: replay.answers([Records(X[:19], Y[:19])], ASKED, partial(naming, 1)),
        lambda: replay.answers(MEMBERS, {1: X[:5], 2: X[30:36]}, partial(naming, 1)),
        lambda: a_replay(Taught(TARGET, None, 0.5), replay.bench).answers(MEMBERS, ASKED, partial(naming, 1)),
        lambda: replace(replay, events=replay.events[3:]).answers(MEMBERS, {2: X}, partial(naming, 1)),
        lambda: a_replay(Taught(TARGET, None, 1.0)).answers(MEMBERS, ASKED, partial(naming, 1)),
    ]
    for number, other in enumerate(others):
        before = len(fits)
        other()
        assert len(fits) > before, number


def test_losses_without_a_digest_are_played_anew(fits: list[int]):
    weight = 0.5
    replay = a_replay(lambda logits, labels, rows: weight * label_loss(logits, labels, rows))
    for _ in range(2):
        replay.answers(MEMBERS, ASKED, partial(naming, 1))
    assert len(fits) == 6
    with pytest.raises(NoDigest):
        digest(replay.events)


def test_contents_have_different_digests():
    some = [1, 1.0, True, "1", None, [1], [[1]], [1, 1], ["a", "b"], ["ab"], {"a": 1}, torch.ones(2), torch.ones(1, 2),
            np.ones(2), label_loss, MEMBERS, [PUBLIC], Private(1), Answer(1)]  # fmt: skip
    assert len({digest(one) for one in some}) == len(some)


def test_the_oldest_are_forgotten():
    shelf, weights = Shelf(held=100), {"w": torch.zeros(10)}
    for number in range(4):
        shelf.put(bytes([number]), Played({}, {}, 1, weights))
        shelf.get(bytes([0]))
    assert [shelf.get(bytes([number])) is not None for number in range(4)] == [True, False, False, True]
