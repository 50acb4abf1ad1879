#!/usr/bin/env bash
# The way back through vmap(grad(f)) is wrong, without an error or a warning, where f normalises by statistics of its
# input with layer_norm, instance_norm or batch_norm (batch statistics): how the statistics depend on the input is left
# out. group_norm, rms_norm and layer normalisation written out are right, and so is vmap over the whole of both passes.
#
# Versions: torch 2.13.0
# Why it matters here: gradient inversion matches gradients of many candidates at once, and so descends along just this
# derivative; behind a normalised layer it goes astray, and a model looks safer than it is.
# Output seen (largest error of the derivative in x, over its largest entry, in float64):
#   layer_norm: 0.77 reverse of vmap(grad), 0.00 vmap of both
#   instance_norm: 1.34 reverse of vmap(grad), 0.00 vmap of both
#   batch_norm: 0.59 reverse of vmap(grad), 0.00 vmap of both
#   group_norm: 0.00 reverse of vmap(grad), 0.00 vmap of both
#   rms_norm: 0.00 reverse of vmap(grad), 0.00 vmap of both
#   written out: 0.00 reverse of vmap(grad), 0.00 vmap of both
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$there/venv/bin/python" - <<'PYTHON'
import torch
from torch.func import grad, vjp, vmap
from torch.nn import functional as F


def written_out(x, w):
    centred = x - x.mean(-1, keepdim=True)
    return w * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


NORMS = {
    "layer_norm": lambda x, w: F.layer_norm(x, (4,), w),
    "instance_norm": lambda x, w: F.instance_norm(x, weight=w),
    "batch_norm": lambda x, w: F.batch_norm(x, None, None, w, training=True),
    "group_norm": lambda x, w: F.group_norm(x, 2, w),
    "rms_norm": lambda x, w: F.rms_norm(x, (4,), w),
    "written out": written_out,
}
draw = torch.Generator().manual_seed(0)
x = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=draw)
w = torch.rand(4, dtype=torch.float64, generator=draw) + 0.5
seen = {}
for name, norm in NORMS.items():
    def slope(one):
        return grad(lambda w: norm(one, w).sin().sum())(w)

    def back(one):
        value, pull = vjp(slope, one)
        return pull(2 * value)[0]

    alone = []
    for one in x:
        own, weight = one.clone().requires_grad_(), w.clone().requires_grad_()
        (first,) = torch.autograd.grad(norm(own, weight).sin().sum(), weight, create_graph=True)
        alone.append(torch.autograd.grad(first.square().sum(), own)[0])
    right = torch.stack(alone)
    value, pull = vjp(vmap(slope), x)
    seen[name] = [float((found - right).abs().max() / right.abs().max()) for found in (pull(2 * value)[0], vmap(back)(x))]
    print(f"{name}: {seen[name][0]:.2f} reverse of vmap(grad), {seen[name][1]:.2f} vmap of both")
wrong = {name for name, (reverse, _) in seen.items() if reverse > 0.05}
exact = all(both < 1e-9 for _, both in seen.values()) and all(seen[name][0] < 1e-9 for name in seen if name not in wrong)
raise SystemExit(0 if exact and wrong == {"layer_norm", "instance_norm", "batch_norm"} else 1)
PYTHON
