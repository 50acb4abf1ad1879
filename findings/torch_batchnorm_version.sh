#!/usr/bin/env bash
# Batch normalisation moves its running mean without raising the tensor's version counter; instance
# normalisation raises it, moves the same statistics, and never moves its num_batches_tracked.
#
# Versions: torch 2.13.0
# Why it matters here: a guard that watches version counters to see whether a model remembers
# records passes the layer that remembers most; contents have to be compared.
# Output seen:
#   batch norm: mean moved, version 1 -> 1, batches counted 1
#   instance norm: mean moved, version 1 -> 2, batches counted 0
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

found = []
x = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(0)) + 1
for name, layer in (("batch", nn.BatchNorm1d(3)), ("instance", nn.InstanceNorm1d(3, track_running_stats=True))):
    before, version = layer.running_mean.clone(), layer.running_mean._version
    layer(x)
    moved = not torch.equal(before, layer.running_mean)
    found.append((moved, layer.running_mean._version - version, int(layer.num_batches_tracked)))
    print(f"{name} norm: mean {'moved' if moved else 'at rest'}, version {version} -> {layer.running_mean._version}, "
          f"batches counted {int(layer.num_batches_tracked)}")
raise SystemExit(0 if found == [(True, 0, 1), (True, 1, 0)] else 1)
PYTHON
