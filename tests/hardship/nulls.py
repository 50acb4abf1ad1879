"""False alarms of every bound of epsilon, by audits of mechanisms that are exactly as claimed.

``python tests/hardship/nulls.py``: 400 audits a bound. A mechanism whose trade-off curve is the claimed one, read by
its strongest adversary, is the hardest null there is. A bound above the claim is a false alarm. ``make test`` plays a
few.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from fedprivacy import seeds
from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.metrics.epsilon.area import epsilon_from_auc
from fedprivacy.metrics.epsilon.guesses import one_run_split
from fedprivacy.metrics.epsilon.held_out import Pair, chosen_region, epsilon_of_region
from fedprivacy.metrics.epsilon.mean_shift import gaussian_estimate
from fedprivacy.metrics.epsilon.sequential import runs_until_refuted
from fedprivacy.metrics.epsilon.thresholds import epsilon_all_thresholds, epsilon_split
from fedprivacy.metrics.epsilon.trade_off import TradeOff, approximate, strongest_scores
from fedprivacy.metrics.scores import Bool, Float, by_coin
from fedprivacy.privacy import Gaussian, PoissonSampledGaussian, PrivacyEvent
from fedprivacy.study.audit.bounds import bounds_of
from fedprivacy.study.audit.curves import Family
from fedprivacy.study.mechanism.audit import Stated, audit_mechanism
from fedprivacy.study.mechanism.early import audit_until_refuted

AUDITS, CANARIES, DELTA, LEVEL = 400, 500, 1e-5, 0.95
CALLS = 1000
"""Of a function."""
EPSILON = 1.0
"""Of the (epsilon, delta) claim."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Null:
    """A claim and its mechanism: scores of canaries [m] from their coins [m]."""

    words: str
    epsilon: float
    curve: TradeOff
    family: Family | None = None

    def played(self, rng: Rng) -> tuple[Float, Bool]:
        coins = rng.random(CANARIES) < 0.5
        return strongest_scores(self.curve, coins, rng), coins


def _of(words: str, events: list[PrivacyEvent]) -> Null:
    family = Family.of(events, DELTA)
    assert family is not None
    epsilon, curve = family.at(1.0)
    return Null(words, epsilon, curve, family)


PAIR = Null("(epsilon, delta) and no more", EPSILON, approximate(EPSILON, DELTA))
PLAIN = _of("Gaussian noise", [PrivacyEvent(0, t, "training", Gaussian(3.745)) for t in range(12)])
SAMPLED = _of(
    "Poisson batches", [PrivacyEvent(0, t, "training", PoissonSampledGaussian(1.5, 0.16, 12)) for t in (1, 2)]
)

Alarm = Callable[[Null, Float, Bool, Rng], bool]
"""Whether an audit of these scores and coins lies above the claim."""


def _judged(place: int) -> Alarm:
    def alarm(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
        rows = 1 if null.family is None else 2
        found = bounds_of(scores, coins, delta=DELTA, level=1 - (1 - LEVEL) * rows, family=null.family)
        return found.judged[place].low > null.epsilon

    return alarm


def _split(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    return one_run_split(scores, coins, delta=DELTA, rng=rng, guesses=(20, 50, 100), level=LEVEL).low > null.epsilon


def _thresholds(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    return epsilon_all_thresholds(*by_coin(scores, coins), delta=DELTA, level=LEVEL).low > null.epsilon


def _halves(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    return epsilon_split(*by_coin(scores, coins), delta=DELTA, rng=rng, level=LEVEL).low > null.epsilon


def _gaussian(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    found = epsilon_all_thresholds(*by_coin(scores, coins), delta=DELTA, level=LEVEL, curve="gaussian")
    return found.low > null.epsilon


def _area(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    return epsilon_from_auc(*by_coin(scores, coins), delta=DELTA, level=LEVEL).low > null.epsilon


def _region(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    first, last = slice(None, CANARIES // 2), slice(CANARIES // 2, None)
    chosen, judged = (Pair(scores[part][~coins[part]], scores[part][coins[part]]) for part in (first, last))
    region = chosen_region({"score": chosen}, delta=DELTA, level=LEVEL)
    return epsilon_of_region(region, judged, delta=DELTA, level=LEVEL).low > null.epsilon


def _sequential(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    return runs_until_refuted(scores, coins, null.epsilon, delta=DELTA, level=LEVEL) is not None


def _estimate(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
    """Of a Gaussian mechanism's own scores, not their ranks; its interval has two ends."""
    mu = float(np.sqrt(12) / 3.745)
    inside, outside = by_coin(rng.normal(size=len(coins)) + mu * coins, coins)
    found = gaussian_estimate(Pair(outside, inside), delta=DELTA, level=1 - 2 * (1 - LEVEL))
    return found is not None and found.low > null.epsilon


def _pipeline(audit: Callable[..., MechanismAudit], claimed: float = 1.0) -> Alarm:
    """A mechanism with exactly the null's curve, called anew; of its audit all that a user gets.

    ``claimed``: by how much more than the truth is claimed, so that the truth lies between two of the claims which an
    audit that stops early bets against; its bound is judged then.
    """

    def alarm(null: Null, scores: Float, coins: Bool, rng: Rng) -> bool:
        def mechanism(given: Float) -> Float:
            return strongest_scores(null.curve, np.array([bool(given[0])]), rng)

        stated = Stated("null", claimed * null.epsilon, DELTA, "neighbouring")
        pair, root = {"both": (np.zeros(1), np.ones(1))}, int(rng.integers(2**31))
        found = audit(mechanism, stated, pair, calls=CALLS, level=LEVEL, root=root)
        return found.low > null.epsilon or (found.refuted and stated.epsilon <= null.epsilon)

    return alarm


ALARMS: Mapping[str, tuple[Null, Alarm]] = {
    "one run, best of three guess counts": (PAIR, _judged(0)),
    "one run, planned guesses": (PLAIN, _judged(0)),
    "one run, the claim's own curve": (PLAIN, _judged(1)),
    "one run, the claim's own curve, sampled": (SAMPLED, _judged(1)),
    "one run, guesses from the other half": (PAIR, _split),
    "Clopper-Pearson, all thresholds": (PAIR, _thresholds),
    "Clopper-Pearson, threshold from the other half": (PAIR, _halves),
    "Clopper-Pearson, region from held-out calls": (PAIR, _region),
    "Gaussian DP, all thresholds": (PLAIN, _gaussian),
    "Gaussian DP, AUC": (PLAIN, _area),
    "Gaussian estimate, lower end": (PLAIN, _estimate),
    "sequential, looked at after every run": (PAIR, _sequential),
    "a function, calls fixed": (PAIR, _pipeline(audit_mechanism)),
    "a function, stopped early": (PAIR, _pipeline(audit_until_refuted)),
    "a function, stopped early, its bound below a claim of 1.15": (PAIR, _pipeline(audit_until_refuted, 1.15)),
}
"""Bound -> the mechanism that it is played on, and the bound."""


def false_alarms(name: str, audits: int) -> int:
    """Of ``audits`` audits by bound ``name``."""
    null, alarm = ALARMS[name]
    return sum(
        alarm(null, *null.played(rng), rng)
        for rng in (seeds.numpy_generator(0, "nulls", name, n) for n in range(audits))
    )


def allowed(audits: int) -> int:
    """Exceeded with probability 0.001 by a bound that errs as often as it may."""
    return int(binom.ppf(0.999, audits, 1 - LEVEL))


def main() -> int:
    """One line a bound; 1 where one errs more often than chance allows. Arguments: words in the names of bounds."""
    print(f"{AUDITS} audits a bound at level {LEVEL}; allowed: {allowed(AUDITS)}")
    print(f"{CANARIES} canaries or runs each, {CALLS:,} calls of a function")
    over = 0
    for name, (null, _) in ALARMS.items():
        if sys.argv[1:] and not any(words in name for words in sys.argv[1:]):
            continue
        found = false_alarms(name, AUDITS)
        over += found > allowed(AUDITS)
        print(f"{name:60s} {null.words:30s} epsilon {null.epsilon:.3g}: {found} false alarms", flush=True)
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
