#!/usr/bin/env bash
# A fused optimiser on the CPU reads a gradient as it lies in memory: where that is another layout than its
# parameter's, entries are taken for others, without a word. SGD and Adam; the plain optimisers are right.
#
# Versions: torch 2.13.0
# Why it matters here: gradients that are made by hand (clipped and noised sums, products that come transposed) and
# assigned to .grad train another model; those of backward() are laid out like the parameter and are safe.
# Output seen:
#   SGD(fused=False): [[0.0, -1.0, -2.0], [-3.0, -4.0, -5.0]]
#   SGD(fused=True): [[0.0, -3.0, -1.0], [-4.0, -2.0, -5.0]]
#   Adam: as different
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import torch


def stepped(kind, fused):
    weight = torch.zeros(2, 3, requires_grad=True)
    weight.grad = torch.arange(6.0).reshape(2, 3).t().contiguous().t()  # the same numbers, column by column
    kind([weight], lr=1.0, fused=fused).step()
    return weight.detach().tolist()


for fused in (False, True):
    print(f"SGD(fused={fused}): {stepped(torch.optim.SGD, fused)}")
wrong = [stepped(kind, True) != stepped(kind, False) for kind in (torch.optim.SGD, torch.optim.Adam)]
print(f"Adam: {'as different' if wrong[1] else 'the same'}")
raise SystemExit(0 if all(wrong) and stepped(torch.optim.SGD, False)[1] == [-3.0, -4.0, -5.0] else 1)
PYTHON
