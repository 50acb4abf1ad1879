#!/usr/bin/env bash
# NVFLARE's PercentilePrivacy filter sends scalar tensors as they are, and its bound gamma is one
# for a local step: with 20 local steps, entries of up to 20 gamma leave.
#
# Versions: nvflare 2.9.0, numpy 2.4.6
# Why it matters here: a temperature, a loss scale or a counter of a model passes unclipped, and the
# bound that a sensitivity would rest on moves with the number of steps.
# Output seen:
#   gamma 0.01; largest entry sent 0.20; the scalar 0.5 sent as 0.5
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
from nvflare.app_common.filters.percentile_privacy import PercentilePrivacy

logging.disable(logging.CRITICAL)
update = {"w": np.random.default_rng(0).normal(size=10_000), "s": np.array(0.5)}
given = DXO(DataKind.WEIGHT_DIFF, data=update, meta={"NUM_STEPS_CURRENT_ROUND": 20})
sent = PercentilePrivacy(gamma=0.01).process_dxo(given, Shareable(), FLContext()).data
largest = np.abs(sent["w"]).max()
print(f"gamma 0.01; largest entry sent {largest:.2f}; the scalar 0.5 sent as {sent['s']}")
raise SystemExit(0 if abs(largest - 0.2) < 1e-9 and float(sent["s"]) == 0.5 else 1)
PYTHON
