#!/usr/bin/env bash
# Laplace noise drawn in bfloat16 ends at 5.53 scales, where a million draws in float32 reach 14, and has
# 3,100 distinct values: an answer beyond the end is impossible with one of two inputs and not with the
# other, so no pure epsilon holds at all.
#
# Versions: torch 2.13.0, numpy 2.4.6
# Why it matters here: noise of the right scale in the type of a half-precision update hides less than it is told to.
# Output seen:
#   a million draws in torch.bfloat16: 3100 distinct values, the farthest at 5.53
#   a million draws in torch.float32: 970738 distinct values, the farthest at 14.15
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import torch

torch.manual_seed(0)
found = {}
for kind in (torch.bfloat16, torch.float32):
    noise = torch.distributions.Laplace(torch.zeros(1_000_000, dtype=kind), torch.ones(1_000_000, dtype=kind)).sample()
    found[kind] = len(noise.unique()), float(noise.abs().max())
    print(f"a million draws in {kind}: {found[kind][0]} distinct values, the farthest at {found[kind][1]:.2f}")
raise SystemExit(0 if found[torch.bfloat16][0] < 10_000 and found[torch.bfloat16][1] < 6 else 1)
PYTHON
