#!/usr/bin/env bash
# dp-accounting's PLD accountant ignores how often a randomised response happens: composed ten times
# it reports the epsilon of one (0.50), for a count as well as for a self-composed event. Ten single
# calls give 5.000.
#
# Versions: dp-accounting 0.6.0
# Why it matters here: a matrix of N randomised labels is N responses; through the count it would be
# claimed at the price of one.
# Output seen:
#   count 10: 0.500; self-composed: 0.500; ten calls: 5.000
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check dp-accounting==0.6.0
"$there/venv/bin/python" - <<'PYTHON'
import math

import dp_accounting
from dp_accounting import pld

event = dp_accounting.RandomizedResponseDpEvent(noise_parameter=2 / (math.exp(0.5) + 1), num_buckets=2)


def spent(compose):
    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_ONE)
    compose(accountant)
    return accountant.get_epsilon(1e-5)


counted = spent(lambda a: a.compose(event, 10))
nested = spent(lambda a: a.compose(dp_accounting.SelfComposedDpEvent(event, 10)))
single = spent(lambda a: [a.compose(event) for _ in range(10)])
print(f"count 10: {counted:.3f}; self-composed: {nested:.3f}; ten calls: {single:.3f}")
raise SystemExit(0 if counted < 0.51 and nested < 0.51 and single > 4.9 else 1)
PYTHON
