"""Inversion of several local steps under a proximal term, with the term simulated and with it left out.

``python benchmarks/proximal_term.py [--messages 5] [--steps 20] [--protocols fedprox,fedasync]``: FedProx (mu) and
FedAsync (rho) on digits, plain steps at rate .1, on all that a client holds in each. The same federation is attacked
twice: by the tool as it is, and by one that simulates the same steps without the term. PSNR of the chosen attack, its
own loss, and messages read exactly.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedprivacy.attacks.inversion import plans, recovered
from fedprivacy.attacks.inversion.situation import Situation
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.study.inversion.findings import PSNR, READ_EXACTLY
from fedprivacy.study.inversion.reconstructed import BEST
from fedprivacy.study.run import Plan, execute

FOLLOWED = plans.situation
TERMS = (("fedprox", "mu", 1.0), ("fedasync", "rho", 0.005), ("fedasync", "rho", 1.0))
CELLS = (("lenet-sigmoid", 1), ("mlp", 1))


def without(*args: Any, **named: Any) -> Situation:
    """What is attempted by who takes the local loss to be that of the records alone."""
    found = FOLLOWED(*args, **named)
    return replace(found, card=replace(found.card, hold=0.0))


def attacked(settings: dict[str, Any], where: Path) -> str:
    """What the tool makes of one federation, in a few words."""
    start = time.process_time()
    result = execute(build(RunConfig, settings, "proximal term"), Plan(where, baselines=False))
    cost = time.process_time() - start
    found = recovered.load(where / "observed" / "server--inversion.safetensors")
    loss = np.median([one.loss for one in found.found])
    (psnr,) = [f for f in result.findings if f.metric == PSNR and f.statistic == BEST]
    exact = [f.value for f in result.findings if f.metric == READ_EXACTLY and f.statistic == BEST]
    names = sorted({one.attack for one in found.found})
    messages, read = len(found.found), exact[0] if exact else 0.0
    return (
        f"{psnr.value:.1f} [{psnr.low:.1f}, {min(psnr.high, 100.0):.1f}] | {loss:.1e} | "
        f"{round(read * messages)} of {messages} | {', '.join(names)} | {cost:.0f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a federation and reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--protocols", default="fedprox,fedasync")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| what | term | PSNR (dB) | own loss, median | read exactly | attack | cpu-s |")
    for protocol, name, weight in (term for term in TERMS if term[0] in options.protocols.split(",")):
        for model, records in CELLS:
            settings = {
                "protocol": protocol,
                "rounds": 1,
                "options": {name: weight},
                "data": {"candidates": records, "inclusion": 1.0, "public_size": 0},
                "training": {"optimizer": "sgd", "lr": 0.1, "local_steps": options.steps, "model": model},
                "attack": {
                    "attacks": ["inversion"],
                    "budget": "60 steps",
                    "inversion": {"messages": options.messages},
                },
            }
            for said, situation in (("simulated", FOLLOWED), ("left out", without)):
                plans.situation = situation  # type: ignore[assignment]
                with tempfile.TemporaryDirectory() as folder:
                    told = attacked(settings, Path(folder))
                plural = "s" if records > 1 else ""
                what = f"{protocol}, {name} {weight:g}, {model} on {records} record{plural}"
                print(f"| {what} | {said} | {told} |", flush=True)


if __name__ == "__main__":
    main()
