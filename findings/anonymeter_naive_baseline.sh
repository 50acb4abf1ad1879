#!/usr/bin/env bash
# anonymeter's baseline attacker, who guesses a secret at random, is kept from guessing most of the time: its
# guesses are drawn from random synthetic records and then looked up by the row numbers of the targets, so
# every target whose number was not drawn among the synthetic records gets NaN, which counts as wrong. Its
# success falls with n_attacks over the number of synthetic records, for a fair coin from .51 to .08.
#
# Versions: anonymeter 1.1.0, numpy 1.26.4, pandas 3.0.6, scipy 1.17.1
# Why it matters here: an attack that knows nothing stands far above "random guessing", and the warning that
# an attack is no better than the baseline is not given. The attack on control records shows that nothing was found.
# Output seen (secret: a fair coin, three tables of 1,000 records that have nothing in common):
#   100 attacks: attack 0.53, control 0.52, baseline 0.08
#   500 attacks: attack 0.51, control 0.53, baseline 0.24
#   1000 attacks: attack 0.50, control 0.51, baseline 0.51
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile anonymeter==1.1.0 \
    numpy==1.26.4 pandas==3.0.6 scipy==1.17.1 scikit-learn==1.9.1 joblib==1.6.0 threadpoolctl==3.8.0 \
    narwhals==2.29.0 numba==0.68.1 llvmlite==0.50.0 polars==2.1.0 polars-runtime-32==2.1.0 pyarrow==21.0.0 \
    python-dateutil==2.9.0.post0 six==1.17.0 cloudpickle==3.1.3 tzdata==2026.6
"$there/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator

random = np.random.default_rng(0)


def table():
    draws = dict(age=random.integers(18, 90, 1000), town=random.integers(0, 5, 1000))
    return pd.DataFrame({**draws, "ill": random.choice(["yes", "no"], 1000)})


real, control, synthetic = table(), table(), table()
found = {}
for attacks in (100, 500, 1000):
    np.random.seed(0)
    asked = dict(ori=real, syn=synthetic, control=control, aux_cols=["age", "town"], secret="ill", n_attacks=attacks)
    told = InferenceEvaluator(**asked).evaluate(n_jobs=1).results()
    found[attacks] = [rate.value for rate in (told.attack_rate, told.control_rate, told.baseline_rate)]
    print("{} attacks: attack {:.2f}, control {:.2f}, baseline {:.2f}".format(attacks, *found[attacks]))
held = all(0.4 < rate < 0.6 for rates in found.values() for rate in rates[:2])
raise SystemExit(0 if held and found[100][2] < 0.15 and found[500][2] < 0.35 and found[1000][2] > 0.4 else 1)
PYTHON
