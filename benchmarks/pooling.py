"""AUC and TPR at 1% FPR of a stored run's joint decoding: clients pooled by rank, log-odds as they are, and each alone.

``python benchmarks/pooling.py RUN``: a line a seed and adversary, then the mean of each over the lines. Each alone: the
mean over clients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fedprivacy import folder
from fedprivacy.metrics import auc, pool, pool_by_rank, tpr_at_fpr
from fedprivacy.metrics.scores import Float


def measured(path: Path) -> list[Float]:
    """(AUC, TPR) by rank, as they are, and of each client alone, from one file of scores."""
    arrays, _ = folder.read_arrays(path)
    names = [name.removesuffix("/joint") for name in arrays if name.endswith("/joint")]
    known = [~np.isnan(arrays[f"{name}/joint"]) for name in names]
    scores = [arrays[f"{name}/joint"][mask] for name, mask in zip(names, known, strict=True)]
    coins = [arrays[f"{name}/coins"][mask].astype(bool) for name, mask in zip(names, known, strict=True)]
    sides = [pool_by_rank(scores, coins), pool(scores, coins)]
    alone = [(one[flips], one[~flips]) for one, flips in zip(scores, coins, strict=True)]
    both = [np.array([auc(*side), tpr_at_fpr(*side, 0.01).tpr]) for side in (*sides, *alone)]
    return [both[0], both[1], np.mean(both[2:], axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    found = []
    for path in sorted(parser.parse_args().run.glob("**/scores/*joint*.safetensors")):
        found.append(measured(path))
        print(f"{path.parent.parent.name}, {path.stem}: {told(found[-1])}")
    print(f"mean: {told(list(np.mean(found, axis=0)))}" if found else "no scores of joint decoding in this folder")


def told(values: list[Float]) -> str:
    """The three in words."""
    ways = zip(("by rank", "as they are", "each alone"), values, strict=True)
    return "; ".join(f"{way} {area:.4f}, {rate:.3f}" for way, (area, rate) in ways)


if __name__ == "__main__":
    main()
