"""How reconstructions are judged: planted leaks are seen, nulls stay at chance, what stands together counts once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.data.pixels import pixel_scale
from fedprivacy.judge.result import PSNR_EXACT, READ_EXACTLY
from fedprivacy.judge.verdicts import inversion, reads_exactly
from fedprivacy.study.inversion.batches import Batches
from fedprivacy.study.inversion.findings import PSNR, _of_one_kind, _Writer
from fedprivacy.study.inversion.read_exactly import read_exactly
from fedprivacy.study.inversion.reconstructed import (
    BEST,
    CLASS_MEAN,
    NEAREST,
    NULL,
    Case,
    cases,
    units_of,
)
from fedprivacy.study.resolve import resolve
from tests.study.inversion_runs import CHEAP, ONE_STEP, Configure


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


def test_a_message_read_exactly_is_told_where_others_gave_classes(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training={**ONE_STEP, "batch_size": 4}, attack=CHEAP)
    played = resolve(config).game(0)
    ids = Batches(resolve(config).wire, played, 0).all_used(0, 1)
    images = pixel_scale(played.dataset, played.division.auxiliary).pixels(played.dataset.x_train[ids])
    planted = Recovered(1, 0, 1, "records", images, played.dataset.y_train[ids], "planted")
    exact = cases(Batches(resolve(config).wire, played, 0), Reconstructions("updates", (planted,), {}))
    others = [
        replace(case, kind="classes", scores={**case.scores, CLASS_MEAN: case.scores[NEAREST]})
        for case in random_pictures(config, played, 4, 1)
    ]
    notes: dict[str, None] = {}
    assert _of_one_kind([*exact, *others], notes) == others
    assert list(notes) == [
        "1 message that gave images of records, at 100.0 dB in the mean, left out beside 3 that gave images of classes"
    ]
    assert _of_one_kind(others, notes) == others and len(notes) == 1
    rows = _Writer(0.95, Adversary("server"), "updates", others, [*exact, *others], "").all()
    told = {f.metric: f for f in rows if f.metric in (READ_EXACTLY, PSNR_EXACT)}
    assert (told[READ_EXACTLY].value, told[READ_EXACTLY].n, told[READ_EXACTLY].headline) == (0.25, 4, True)
    assert told[PSNR_EXACT].value == pytest.approx(100) and told[PSNR_EXACT].n == 4
    (verdict,) = inversion(rows, "weights", "")
    assert verdict.verdict == "refuted"
    assert verdict.why.startswith("1 of 4 messages was read exactly, 4 records at 100.0 dB. In the mean over what is")
    rows = _Writer(0.95, Adversary("server"), "updates", others, others, "").all()
    (verdict,) = inversion(rows, "weights", "")
    assert verdict.verdict == "inconclusive" and "exactly" not in verdict.why
    assert not any(f.metric == PSNR_EXACT for f in rows)


def test_a_message_that_public_records_give_as_well_was_not_read(small_config: Configure) -> None:
    """Where a record stands among the public ones, or comes out of another client's message, no share is a leak."""
    config = small_config(protocol="fedavg", training=ONE_STEP, attack=CHEAP)
    case, *_ = random_pictures(config, resolve(config).game(0), 1, 1)
    exact = replace(case.scores[BEST], psnr=np.full(1, 100.0))
    for row in (NEAREST, NULL):
        known = replace(case, scores={**case.scores, BEST: exact, row: exact})
        unknown = replace(case, scores={**case.scores, BEST: exact})
        both = [replace(one, unit=place) for place, one in enumerate([known, known, unknown])]
        rows = _Writer(0.95, Adversary("server"), "updates", both, both, "").all()
        counted = next(f for f in rows if f.metric == READ_EXACTLY)
        assert counted.value == 1 and counted.chance == pytest.approx(2 / 3)
        assert not reads_exactly(counted)
        assert reads_exactly(replace(counted, chance=0.0))


def test_messages_of_the_same_records_are_read_once(small_config: Configure) -> None:
    config = small_config(protocol="fedavg", training=ONE_STEP, attack=CHEAP)
    cases_of = random_pictures(config, resolve(config).game(0), 1, 2)
    exact = [replace(c, scores={**c.scores, BEST: replace(c.scores[BEST], psnr=np.full(1, 100.0))}) for c in cases_of]
    alone = read_exactly([replace(c, unit=k) for k, c in enumerate(exact)], 0.95)
    shared = read_exactly([replace(c, unit=k // 3) for k, c in enumerate(exact)], 0.95)
    assert alone.share == shared.share == 1 and shared.low < alone.low
    assert (shared.messages, shared.read, shared.records) == (6, 6, 6)


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
    writer = _Writer(0.95, Adversary("server"), "updates", judged, judged, "")
    thrice = _Writer(0.95, Adversary("server"), "updates", [case for case in judged for _ in range(3)], judged, "")
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
    rows = _Writer(0.95, Adversary("server"), "updates", judged, judged, "").all()
    share = next(f for f in rows if f.metric == "share above 30 dB" and f.statistic == BEST)
    assert share.value == pytest.approx(1 / 3) and share.low == 0 and share.high == 1
    alone = _Writer(0.95, Adversary("server"), "updates", judged[:1], judged[:1], "").all()
    share = next(f for f in alone if f.metric == "share above 30 dB" and f.statistic == BEST)
    assert share.value == 1 and share.low is None and share.high is None
