#!/usr/bin/env bash
# anonymeter counts every negative guess of a number as right: the error is divided by the guess and not by
# its size, so it is below any tolerance. Where a secret is negative the inference attack succeeds always, on
# records that have nothing to do with the synthetic ones; the same table with the other sign is at chance.
#
# Versions: anonymeter 1.1.0, numpy 1.26.4, pandas 3.0.6, scipy 1.17.1
# Why it matters here: balances, temperatures, log values and standardised columns are negative. Attack, control and
# baseline rise together, so the risk beside a control is about 0, and without one it is about 1.
# Output seen (risk of three tables of 1,000 records without anything in common; the secret is normal, spread .2):
#   mean 1: attack 0.14, control 0.16, risk without control 0.14
#   mean -1: attack 1.00, control 1.00, risk without control 1.00
#   guess -1 of 50 is right: True
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
from anonymeter.evaluators.inference_evaluator import evaluate_inference_guesses

random = np.random.default_rng(0)


def table():
    draws = dict(age=random.integers(18, 90, 1000), town=random.integers(0, 5, 1000))
    return pd.DataFrame({**draws, "balance": random.normal(1, 0.2, 1000)})


tables, found = [table() for _ in range(3)], {}
for sign in (1, -1):
    np.random.seed(0)
    real, control, synthetic = (one.assign(balance=sign * one.balance) for one in tables)
    asked = dict(aux_cols=["age", "town"], secret="balance", regression=True, n_attacks=500)
    told = InferenceEvaluator(ori=real, syn=synthetic, control=control, **asked).evaluate(n_jobs=1).results()
    alone = InferenceEvaluator(ori=real, syn=synthetic, **asked).evaluate(n_jobs=1).risk().value
    found[sign] = told.attack_rate.value, told.control_rate.value, alone
    print("mean {}: attack {:.2f}, control {:.2f}, risk without control {:.2f}".format(sign, *found[sign]))
right = bool(evaluate_inference_guesses(pd.Series([-1.0]), pd.Series([50.0]), regression=True)[0])
print(f"guess -1 of 50 is right: {right}")
raise SystemExit(0 if max(found[1]) < 0.3 and min(found[-1]) > 0.95 and right else 1)
PYTHON
