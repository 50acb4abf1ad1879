#!/usr/bin/env bash
# FedML's frames nbafl and dp_clip report differential privacy on and add no noise: the client adds noise for the frame
# ldp alone and the server for cdp alone. Called by hand, dp_clip's noise falls by the number of records at every tensor.
#
# Versions: fedml 0.9.6, torch 2.13.0, numpy 1.26.4, scipy 1.17.1
# Why it matters here: a run that logs a privacy frame sends its clients' models as they are.
# Output seen:
#   nbafl: enabled True, noise at the client False, at the server False
#   dp_clip: enabled True, noise at the client False, at the server False
#   dp_clip by hand, deviations of three tensors: 1.0e-02, 1.0e-04, 1.0e-06
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==1.26.4 scipy==1.17.1
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps fedml==0.9.6
"$there/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
import types
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

# The package's own start imports some sixty others, so core.dp is loaded without it.
root = Path(importlib.util.find_spec("fedml").submodule_search_locations[0])
for name, place in (("fedml", root), ("fedml.core", root / "core")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(place)]

import torch
from fedml.core.dp.fedml_differential_privacy import FedMLDifferentialPrivacy

torch.manual_seed(0)
asked = dict(enable_dp=True, epsilon=0.9, delta=1e-5, C=1.0, comm_round=10, client_num_per_round=10,
             client_num_in_total=100, clipping_norm=1.0, noise_multiplier=1.0, train_data_num_in_total=1000)
silent = []
for kind in ("nbafl", "dp_clip"):
    dp = FedMLDifferentialPrivacy()
    dp.init(SimpleNamespace(**asked, dp_solution_type=kind))
    client, server = dp.is_local_dp_enabled(), dp.is_global_dp_enabled()
    silent.append(dp.is_dp_enabled() and not client and not server)
    print(f"{kind}: enabled {dp.is_dp_enabled()}, noise at the client {client}, at the server {server}")
model = OrderedDict((str(k), torch.zeros(100_000)) for k in range(3))
spread = [float(t.std()) for t in dp.dp_solution.add_noise(model, qw=100.0).values()]
print("dp_clip by hand, deviations of three tensors: " + ", ".join(f"{s:.1e}" for s in spread))
raise SystemExit(0 if all(silent) and spread[0] > 50 * spread[1] > 2500 * spread[2] else 1)
PYTHON
