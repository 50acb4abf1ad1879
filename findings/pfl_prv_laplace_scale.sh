#!/usr/bin/env bash
# pfl's PRV accountant takes the scale of Laplace noise for its epsilon: noise of scale 0.1 at
# sensitivity 1, which is epsilon 10, is reported at 0.098, and scale 10, which is 0.1, at 9.998. Its
# PLD accountant, told the same, has both right.
#
# Versions: pfl 0.6.0, prv-accountant 0.2.0, dp-accounting 0.6.0, numpy 2.4.6
# Why it matters here: the less noise there is, the smaller the epsilon that is printed.
# Output seen:
#   scale 0.1: PRV 0.098, PLD 10.000
#   scale 1: PRV 1.000, PLD 1.000
#   scale 10: PRV 9.998, PLD 0.100
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps pfl==0.6.0 prv-accountant==0.2.0 \
    dp-accounting==0.6.0 numpy==2.4.6 scipy==1.17.1 absl-py==2.5.1 attrs==26.1.0 dm-tree==0.1.10 mpmath==1.4.1 \
    multiprocess==0.70.19 dill==0.4.1 packaging==26.4
"$there/venv/bin/python" - <<'PYTHON'
from pfl.privacy.privacy_accountant import PLDPrivacyAccountant, PRVPrivacyAccountant

found = {}
for scale in (0.1, 1.0, 10.0):
    asked = dict(num_compositions=1, sampling_probability=1.0, mechanism="laplace", delta=1e-5, noise_parameter=scale)
    found[scale] = PRVPrivacyAccountant(**asked).epsilon, PLDPrivacyAccountant(**asked).epsilon
    print(f"scale {scale:g}: PRV {found[scale][0]:.3f}, PLD {found[scale][1]:.3f}")
raise SystemExit(0 if found[0.1][0] < 0.11 and found[10.0][0] > 9 and found[0.1][1] > 9 else 1)
PYTHON
