"""The examiner: every row with chance, interval and n; errors stay rows; only ranks within a client count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from fedprivacy.adversary.threat import Truth
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target

Array = np.ndarray[Any, np.dtype[Any]]
LABEL = Label("planted probes", "server (active)", "loss", 0.95, False)
HEADLINE = Label("planted probes", "server (active)", "loss", 0.95, True)


def target(name: str, scores: Array, coins: Array) -> Target:
    return Target(name, np.asarray(scores, dtype=np.float64), Truth(np.asarray(coins, dtype=bool)))


def drawn(n: int, leak: float, seed: int = 0, name: str = "client-0") -> Target:
    draw = np.random.default_rng(seed)
    coins = draw.random(n) < 0.5
    return target(name, draw.normal(size=n) + leak * coins, coins)


def by_metric(findings: list[Finding], where: str = "all clients") -> dict[str, Finding]:
    return {f.metric: f for f in findings if f.target == where and f.statistic == "loss"}


def test_every_number_has_chance_interval_and_n() -> None:
    found = examiner.membership([[drawn(3000, 1.0), drawn(3000, 1.0, 1, "client-1")]], HEADLINE)
    assert [f.metric for f in found if f.target == "all clients" and f.statistic == "loss"] == [
        "AUC",
        "TPR@10%FPR",
        "TPR@1%FPR",
        "TPR@0.1%FPR",
    ]
    for finding in found:
        assert finding.value is not None and finding.low is not None and finding.high is not None
        assert finding.chance is not None and finding.chance_low is not None and finding.chance_high is not None
        assert finding.low <= finding.value <= finding.high
        assert 0 <= finding.chance_low <= finding.chance <= finding.chance_high <= 1
        assert finding.n == (finding.members or 0) + (finding.non_members or 0) and finding.n in (3000, 6000)
        assert (finding.observation, finding.adversary, finding.level) == ("planted probes", "server (active)", 0.95)
        assert (finding.false_positives is None) == (finding.metric == "AUC")


def test_auc_is_scikit_learns_and_a_tpr_counts_its_false_positives() -> None:
    one = drawn(2000, 0.7)
    found = by_metric(examiner.membership([[one]], LABEL))
    assert found["AUC"].value == pytest.approx(roc_auc_score(one.truth.coins, one.scores))
    members, others = one.scores[one.truth.coins], np.sort(one.scores[~one.truth.coins])
    for fpr in (0.1, 0.01):
        allowed = int(fpr * len(others))
        cut = others[len(others) - allowed - 1]
        finding = found[f"TPR@{100 * fpr:g}%FPR"]
        assert finding.false_positives == allowed
        assert finding.value == pytest.approx((members > cut).mean(), abs=2 / len(members))


def test_a_planted_leak_is_near_perfect_and_noise_is_at_chance() -> None:
    strong = by_metric(examiner.membership([[drawn(4000, 9.0)]], LABEL))
    assert strong["AUC"].value > 0.999 and strong["TPR@0.1%FPR"].value > 0.95  # type: ignore[operator]
    covered = 0
    for seed in range(40):
        finding = by_metric(examiner.membership([[drawn(400, 0.0, seed)]], LABEL))["AUC"]
        covered += finding.low <= 0.5 <= finding.high  # type: ignore[operator]
        assert finding.chance == 0.5 and abs(finding.value - 0.5) < 0.15  # type: ignore[operator]
    assert covered >= 34


def test_below_resolution_there_is_no_number_but_a_reason() -> None:
    found = by_metric(examiner.membership([[drawn(300, 3.0)]], LABEL))
    finding = found["TPR@0.1%FPR"]
    assert finding.value is None and finding.low is None and finding.high is None and finding.chance is None
    assert finding.flag == "below" and "1000 needed" in finding.note and finding.n == 300
    assert found["TPR@1%FPR"].flag == "few" and found["TPR@1%FPR"].value is not None
    assert found["TPR@10%FPR"].flag == ""


def of_records(one: Target, first: int) -> Target:
    return Target(one.name, one.scores, Truth(one.truth.coins, np.arange(first, first + len(one.scores))))


def test_seeds_that_are_too_small_alone_share_one_threshold() -> None:
    """Three seeds of about 500 non-members: one false positive together, counted here by hand from the ranks."""
    runs = [[of_records(drawn(1000, 4.0, seed), 1000 * seed)] for seed in range(3)]
    found = by_metric(examiner.membership(runs, LABEL, of_seed=[0, 1, 2]))["TPR@0.1%FPR"]
    ranks = [(stats.rankdata(one.scores) / 1000, one.truth.coins) for (one,) in runs]
    others = np.sort(np.concatenate([r[~c] for r, c in ranks]))
    hits = [r[c] > others[-2] for r, c in ranks]
    assert len(others) >= 1000 and found.value == pytest.approx(np.concatenate(hits).mean())
    assert found.per_seed == pytest.approx([h.mean() for h in hits])
    assert (found.flag, found.false_positives) == ("few", 1) and found.note == "one threshold for 3 seeds"
    assert found.low <= min(found.value, np.mean(found.per_seed)) and found.high >= found.value  # type: ignore[operator,type-var]
    same_seed = by_metric(examiner.membership(runs, LABEL, of_seed=[0, 0, 0]))["TPR@0.1%FPR"]
    assert same_seed.flag == "below" and same_seed.value is None  # one bank's federations share their candidates


def test_a_record_that_several_seeds_have_adds_no_resolution() -> None:
    runs = [[of_records(drawn(1000, 4.0, seed), 0)] for seed in range(3)]
    other = by_metric(examiner.membership([[of_records(drawn(1000, 4.0, s), 1000 * s)] for s in range(3)], LABEL))
    found = by_metric(examiner.membership(runs, LABEL))
    assert found["TPR@0.1%FPR"].flag == "below" and other["TPR@0.1%FPR"].flag == "few"
    unknown = by_metric(examiner.membership([[drawn(1000, 4.0, seed)] for seed in range(3)], LABEL))
    assert unknown["TPR@0.1%FPR"].flag == "below"


def test_one_threshold_for_all_seeds_stays_at_chance_without_a_leak() -> None:
    """Also where half of the records are those of the seed before."""
    for step, needed in ((1000, 36), (500, 36)):
        covered = 0
        for start in range(40):
            runs = [[of_records(drawn(1000, 0.0, 10 * start + seed), step * seed)] for seed in range(5)]
            found = by_metric(examiner.membership(runs, LABEL, of_seed=range(5)))["TPR@0.1%FPR"]
            covered += found.low <= 0.001 <= found.high  # type: ignore[operator]
            assert found.value < 0.03  # type: ignore[operator]
        assert covered >= needed


def test_repetitions_give_their_mean_and_no_less_than_students_interval() -> None:
    runs = [[drawn(500, 0.5, seed)] for seed in range(4)]
    found = by_metric(examiner.membership(runs, LABEL))
    singles = [by_metric(examiner.membership([run], LABEL)) for run in runs]
    for metric in ("AUC", "TPR@10%FPR", "TPR@1%FPR"):
        values = [single[metric].value for single in singles]
        assert found[metric].value == pytest.approx(np.mean(values))
        half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
        assert found[metric].low <= max(0, np.mean(values) - half) + 1e-12
        assert found[metric].high >= min(1, np.mean(values) + half) - 1e-12
    assert found["AUC"].n == 2000
    assert found["AUC"].chance_high < singles[0]["AUC"].chance_high  # type: ignore[operator]


def test_repetitions_that_agree_by_luck_are_no_more_certain_than_their_candidates() -> None:
    run = [drawn(500, 0.5, 0)]
    alone = by_metric(examiner.membership([run], LABEL))["AUC"]
    found = by_metric(examiner.membership([run, run], LABEL))["AUC"]
    assert found.value == pytest.approx(alone.value)
    assert found.value - found.low == pytest.approx((alone.value - alone.low) / np.sqrt(2))
    assert found.high - found.value == pytest.approx((alone.high - alone.value) / np.sqrt(2))


def test_clients_are_pooled_by_rank_so_that_a_louder_client_says_nothing() -> None:
    quiet, loud = drawn(400, 1.0, 1), drawn(400, 1.0, 2, "client-1")
    plain = by_metric(examiner.membership([[quiet, loud]], LABEL))
    shifted = target("client-1", 1000 + 7 * loud.scores, loud.truth.coins)
    assert by_metric(examiner.membership([[quiet, shifted]], LABEL)) == plain


@given(st.integers(0, 50), st.sampled_from([np.exp, np.cbrt, lambda x: 3 * x - 1]))
def test_only_the_order_of_scores_counts(seed: int, change: Any) -> None:
    one = drawn(60, 0.5, seed)
    moved = target(one.name, change(one.scores), one.truth.coins)
    assert examiner.membership([[one]], LABEL) == examiner.membership([[moved]], LABEL)


def test_candidates_that_were_not_observed_are_left_out() -> None:
    one = drawn(400, 1.0)
    scores = one.scores.copy()
    scores[:100] = np.nan
    found = examiner.membership([[target("client-0", scores, one.truth.coins)]], LABEL)
    rest = target("client-0", one.scores[100:], one.truth.coins[100:])
    assert found == examiner.membership([[rest]], LABEL) and found[0].n == 300


def test_a_client_without_both_sides_is_an_error_row_and_the_others_stand() -> None:
    good, bad = drawn(200, 1.0), target("client-1", np.arange(50), np.ones(50))
    found = examiner.membership([[good, bad]], HEADLINE)
    (row,) = [f for f in found if f.target == "client-1"]
    assert row.flag == "error" and row.value is None and row.note
    assert by_metric(found)["AUC"].value is not None and by_metric(found, "client-0")["AUC"].value is not None


def test_nothing_observed_at_all_is_an_error_row() -> None:
    found = examiner.membership([[target("client-0", np.full(20, np.nan), np.arange(20) < 9)]], HEADLINE)
    assert [f.flag for f in found] == ["error"] and found[0].n == 0 and found[0].note


def test_an_attack_that_failed_has_a_row_with_its_cause() -> None:
    row = examiner.failed(HEADLINE, "needs in-references")
    assert (row.flag, row.value, row.note, row.headline) == ("error", None, "needs in-references", True)
    assert (row.statistic, row.metric, row.target) == ("loss", "AUC", "all clients")


def test_the_headline_has_a_null_row_that_covers_chance() -> None:
    found = examiner.membership([[drawn(2000, 3.0)]], HEADLINE)
    null = [f for f in found if f.statistic == examiner.NULL]
    assert len(null) == 4 and not any(f.headline for f in null)
    assert null[0].low < 0.5 < null[0].high  # type: ignore[operator]
    assert not [f for f in examiner.membership([[drawn(2000, 3.0)]], LABEL) if f.statistic == examiner.NULL]


def test_training_on_other_records_than_the_coins_say_is_noticed() -> None:
    pools, coins = [[1, 2, 3], [7, 8]], np.array([True, False, True, False, True])
    examiner.assert_trained_on_coins([[3, 1], [8]], pools, coins)
    for trained in ([[1], [8]], [[1, 2, 3], [8]], [[1, 3], [7]]):
        with pytest.raises(AssertionError, match="not those of its coins"):
            examiner.assert_trained_on_coins(trained, pools, coins)


def perfect(rng: np.random.Generator, name: str, odds: bool) -> Target:
    coins = rng.random(400) < 0.5
    return Target(name, np.where(coins, 2.0, -2.0) + rng.random(400), Truth(coins), odds)


def test_log_odds_of_several_clients_are_pooled_as_they_are_and_a_perfect_attack_is_shown_as_one() -> None:
    rng = np.random.default_rng(4)
    for odds, perfectly in ((True, True), (False, False)):
        found = examiner.membership([[perfect(rng, f"client-{c}", odds) for c in range(5)]], LABEL)[:3]
        assert (found[0].value == 1.0) is perfectly and (found[2].value == 1.0) is perfectly


def test_log_odds_of_one_client_that_lie_higher_count_against_the_attack() -> None:
    rng = np.random.default_rng(5)
    targets = [perfect(rng, f"client-{c}", True) for c in range(2)]
    shifted = replace(targets[1], scores=targets[1].scores + 100)
    assert examiner.membership([[targets[0], shifted]], LABEL)[0].value < 0.9  # type: ignore[operator]
    by_rank = [replace(target, odds=False) for target in (targets[0], shifted)]
    assert examiner.membership([by_rank], LABEL)[0].value > 0.98  # type: ignore[operator]


def test_the_null_row_of_log_odds_is_at_chance_though_clients_with_more_members_have_higher_ones() -> None:
    rng = np.random.default_rng(7)
    areas = []
    for _ in range(150):
        coins = [rng.random(8) < 0.5 for _ in range(8)]
        targets = [
            Target(f"client-{place}", np.where(own, 18.0, -18.0) + 6 * rng.normal(size=8), Truth(own), True)
            for place, own in enumerate(coins)
        ]
        found = examiner.membership([targets], replace(LABEL, headline=True))
        areas += [f.value for f in found if f.statistic == examiner.NULL and f.metric == "AUC"]
    # Shuffled within each client, the mean would be .55.
    assert abs(np.mean(areas) - 0.5) < 4 * 0.072 / 150**0.5


def test_scores_are_ranked_where_one_target_gives_no_log_odds() -> None:
    rng = np.random.default_rng(6)
    targets = [perfect(rng, f"client-{c}", c == 0) for c in range(2)]
    mixed, ranked = (
        examiner.membership([chosen], LABEL)[0] for chosen in (targets, [replace(t, odds=False) for t in targets])
    )
    assert mixed == ranked
