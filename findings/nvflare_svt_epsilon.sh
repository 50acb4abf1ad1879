#!/usr/bin/env bash
# NVFLARE's SVTPrivacy filter takes an epsilon of 0.1 and spends 100.1 on a model of 10,000 weights:
# epsilon pays for the choice of weights alone, and the default noise_var is an epsilon for each
# weight that is sent. Its own ledger says so, after the fact.
#
# Versions: nvflare 2.9.0, numpy 2.4.6
# Why it matters here: a claim read off the filter's settings is a thousandth of what its accountant
# counts, and grows with the model.
# Output seen:
#   asked for epsilon 0.1; by its own ledger 100.1 for 10000 weights
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check nvflare==2.9.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import logging

import numpy as np
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.filters.svt_privacy import SVTPrivacy

logging.disable(logging.CRITICAL)
np.random.seed(0)
update = {"w": np.random.default_rng(0).normal(size=10_000) * 1e-3}
found = SVTPrivacy(epsilon=0.1)
found.process_dxo(DXO(DataKind.WEIGHT_DIFF, data=update), Shareable(), FLContext())
spent = found.get_privacy_spent()
print(f"asked for epsilon 0.1; by its own ledger {spent:.1f} for {update['w'].size} weights")
raise SystemExit(0 if 99 < spent < 102 else 1)
PYTHON
