#!/usr/bin/env bash
# NVFlare's script runner drops arrays of numpy that a client sends as its model: the default
# framework is PyTorch, whose converter keeps tensors alone. A warning is logged, the round goes on,
# and the server gets a model without a single weight.
#
# Versions: nvflare 2.9.0, torch 2.13.0 (CPU), numpy 2.4.6
# Why it matters here: what an adversary reads of such a client is nothing, and "no leakage" would
# be told of an empty message.
# Output seen:
#   sent as arrays: 0 of 2 arrive
#   sent as tensors: 2 of 2 arrive
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check nvflare==2.9.0 torch==2.13.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch
from nvflare.client.config import ExchangeFormat
from nvflare.client.converter_utils import convert_params

weights = {"a": np.ones((2, 3), dtype=np.float32), "b": np.zeros(3, dtype=np.float32)}
found = {}
for name, sent in (("arrays", weights), ("tensors", {k: torch.from_numpy(v) for k, v in weights.items()})):
    found[name] = len(convert_params(dict(sent), ExchangeFormat.PYTORCH, ExchangeFormat.NUMPY, {}))
    print(f"sent as {name}: {found[name]} of {len(sent)} arrive")
raise SystemExit(0 if found == {"arrays": 0, "tensors": 2} else 1)
PYTHON
