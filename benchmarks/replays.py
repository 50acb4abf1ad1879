"""What replays tell of probed clients in a stored run: LiRA's ratio, and the predictive one, from the same replays.

``python benchmarks/replays.py RUN``, RUN a stored run with an active server: AUC, TPR at 1% FPR and the slope of a
logistic regression of the coins on the log-odds (1: they mean what they say; below: too sure), mean over clients and
seeds. A record's label is taken to be the class that replays which trained on it hold likeliest. Clients must have
as many candidates each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from fedprivacy import folder
from fedprivacy.adversary.threat import Float, References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.statistics.lira_online import LiraOnline
from fedprivacy.attacks.membership.unrolled.references import Conditional, ratio
from fedprivacy.metrics import auc, tpr_at_fpr

NAME = "active-server--joint-probes.safetensors"


def measured(path: Path) -> list[list[Float]]:
    """(AUC, TPR, slope) by LiRA and by the predictive ratio, of each client in one file of observations."""
    observed, _ = folder.read_arrays(path)
    scores, _ = folder.read_arrays(path.parent.parent / "scores" / NAME)
    found = []
    for name in sorted(name for name in scores if name.endswith("/coins")):
        client, coins = int(name.split("/")[0].split("-")[1]), scores[name].astype(bool)
        if len(coins) * len(observed["simulated_in"]) != observed["simulated_in"].shape[-1]:
            raise SystemExit("clients have different numbers of candidates")
        own = slice(client * len(coins), (client + 1) * len(coins))
        replies, members = observed["simulated_logp"][client][:, :, own], observed["simulated_in"][client][:, own] > 0
        trained = np.where(members[:, None, :, None], replies, np.nan)
        known = np.isfinite(trained).any(axis=(0, 1, 3)) & np.isfinite(scores[name.replace("coins", "joint")])
        labels = np.nanmean(trained[:, :, known], axis=(0, 1)).argmax(axis=1)
        logp, clean = observed["logp"][client][:, own][:, known], observed["clean"][:, own][:, known]
        seen = ~np.isnan(logp).any(axis=-1)
        chosen, replayed = np.arange(known.sum()), Conditional(replies[:, :, known], members[:, known])
        plain = Signals(logp, seen, clean, labels, References(replayed.logp, replayed.included))
        sides = (score_candidates(LiraOnline(), plain), ratio(plain, replayed, chosen))
        found.append([told(odds, coins[known]) for odds in sides])
    return found


def told(odds: Float, coins: np.ndarray) -> Float:
    """(AUC, TPR at 1% FPR, slope)."""
    slope = LogisticRegression(C=1e6).fit(odds[:, None], coins).coef_[0, 0]
    return np.array([auc(odds[coins], odds[~coins]), tpr_at_fpr(odds[coins], odds[~coins], 0.01).tpr, slope])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    every = [one for path in sorted(parser.parse_args().run.glob(f"**/observed/{NAME}")) for one in measured(path)]
    if not every:
        raise SystemExit("no decoded probes in this folder")
    for way, (area, rate, slope) in zip(("LiRA", "predictive"), np.mean(every, axis=0), strict=True):
        print(f"{way}: AUC {area:.4f}, TPR at 1% FPR {rate:.3f}, slope {slope:.2f} ({len(every)} clients)")


if __name__ == "__main__":
    main()
