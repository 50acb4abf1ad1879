"""Scores that were decoded jointly: summed over rounds, headline where there are any, hidden where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from fedprivacy.attacks.membership.assemble import score_target, signals_of
from fedprivacy.attacks.membership.evidence import last_margins
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.data.records import Division
from fedprivacy.federation.knowledge import Observed
from fedprivacy.study.observe import known_candidates, load_observed, save_observed
from fedprivacy.study.resolve import resolve

SCORES = np.array([[[1.0, -2.0, 0.5, np.nan], [0.5, 1.0, -3.0, np.nan]]])
EVERY, LABELS = np.arange(4), np.zeros(4, dtype=np.int64)


def test_decoded_scores_alone_are_summed_and_are_the_headline(tmp_path):
    save_observed(tmp_path / "seen.safetensors", Observed.decoded(SCORES, ("as decoded",)))
    observed = load_observed(tmp_path / "seen.safetensors")
    assert isinstance(observed, Observed)
    assert observed.notes == ("as decoded",)
    signals = signals_of(observed, [], 0, EVERY, LABELS, LABELS, coop=True)
    scored = score_target(signals, AttackConfig())
    assert scored.headline == "joint"
    assert list(scored.scores) == ["joint"]
    np.testing.assert_allclose(scored.scores["joint"], [1.5, -1.0, -2.5, np.nan])
    np.testing.assert_allclose(last_margins(signals), [1.5, -1.0, -2.5, np.nan])


def test_what_the_adversary_does_not_know_is_not_scored():
    logp = np.log(np.full((1, 2, 4, 2), 0.5))
    seen = np.ones((2, 4), dtype=bool)
    observed = Observed(logp, seen, seen, reference_logp=logp, scores=np.nan_to_num(SCORES))
    known = np.array([True, False, True, True])
    hidden = observed.restricted(known)
    for values in (hidden.logp, hidden.reference_logp, hidden.scores):
        np.testing.assert_array_equal(np.isnan(values[0, 0]).reshape(4, -1).all(axis=1), ~known)
    assert not hidden.seen[:, 1].any()
    assert not np.isnan(observed.logp).any()
    signals = signals_of(hidden, [], 0, EVERY, LABELS, LABELS, coop=True)
    scored = score_target(signals, AttackConfig())
    assert np.isnan(scored.scores["joint"][1])
    assert np.isnan(scored.scores["loss"][1])


def test_what_is_decoded_jointly_stands_beside_what_was_listed():
    logp = np.log(np.full((1, 2, 4, 2), 0.5))
    seen = np.ones((2, 4), dtype=bool)
    both = signals_of(Observed(logp, seen, seen, scores=np.nan_to_num(SCORES)), [], 0, EVERY, LABELS, LABELS, coop=True)
    scored = score_target(both, AttackConfig(statistics=("loss", "entropy")))
    assert (set(scored.scores), scored.headline) == ({"loss", "entropy", "joint"}, "loss")
    np.testing.assert_allclose(scored.scores["joint"], [1.5, -1.0, -2.5, 0.0])
    alone = signals_of(Observed(logp, seen, seen), [], 0, EVERY, LABELS, LABELS, coop=True)
    assert set(score_target(alone, AttackConfig(statistics=("loss",))).scores) == {"loss"}


def test_the_known_share_of_each_pool_is_a_named_draw():
    ids = np.arange(30)
    division = Division(ids[:0], ((ids[:20],), (ids[20:],)), (), (), ids[:0])
    known = known_candidates(0.25, division, 5)
    assert (known[:20].sum(), known[20:].sum()) == (5, 3)
    np.testing.assert_array_equal(known, known_candidates(0.25, division, 5))
    assert (known != known_candidates(0.25, division, 6)).any()
    assert known_candidates(1.0, division, 5) is None


def test_shadow_federations_need_every_candidate():
    settings = {"attack": {"attacks": ("membership",), "known_share": 0.5, "shadows": 8}}
    with pytest.raises(UsageError, match="--known-share"):
        resolve(build(RunConfig, settings, "test"))
