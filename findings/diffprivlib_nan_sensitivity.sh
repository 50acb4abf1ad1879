#!/usr/bin/env bash
# diffprivlib's nanmean divides by the values that are there and sets its noise by the length of the
# array, missing values included: ten values between 0 and 1 among 10,000 entries are released with noise
# of .0001, where one value moves the mean by up to .1. Asked for epsilon 1 that is epsilon 1,000.
#
# Versions: diffprivlib 0.6.6, numpy 2.2.6, scikit-learn 1.6.1
# Why it matters here: the scaler of the same library fits by this mean and by the variance beside it,
# on columns in which values are missing, and the budget accountant notes epsilon 1.
# Output seen:
#   10 values: mean absolute noise 0.0965
#   10 values among 9990 missing: mean absolute noise 0.0001
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile diffprivlib==0.6.6 numpy==2.2.6 \
    scipy==1.16.3 scikit-learn==1.6.1
"$there/venv/bin/python" - <<'PYTHON'
import numpy as np
from diffprivlib.tools import nanmean

values = np.linspace(0, 1, 10)
sparse = np.concatenate([values, np.full(9_990, np.nan)])


def noise(array):
    """Mean absolute deviation of 300 releases from the true mean of .5."""
    drawn = [nanmean(array, epsilon=1.0, bounds=(0, 1), random_state=seed) for seed in range(300)]
    return float(np.abs(np.array(drawn) - 0.5).mean())


found = noise(values), noise(sparse)
print(f"10 values: mean absolute noise {found[0]:.4f}")
print(f"10 values among 9990 missing: mean absolute noise {found[1]:.4f}")
raise SystemExit(0 if found[0] > 0.05 and found[1] < 0.001 else 1)
PYTHON
