"""A membership audit beside LeakPro's: the same records, network and number of shadow models, timed in one call.

One model, a perceptron 784-256-10, is trained on a half of N records of Fashion-MNIST; 16 shadow models are trained on
other halves of them, and four statistics are computed: LiRA (online, fixed variance), RMIA, BASE (online) and the rank
in a population. Ours is a federation of one client with one round. Each side is a process of its own, and all that it
does counts: imports, the target model, 16 shadows, scores, what is written. Adam, batch 32, no validation part.
LeakPro leaves training to its user: the loop (`leakpro_handler.py`) is that of its own examples, without progress bars
and schedules.

    python benchmarks/leakpro_audit.py --data fashion_mnist.npz --peer DIR [--records 4000] [--epochs 10] [--json FILE]

DIR is a clone of aidotse/LeakPro. Nothing is installed: what it lacks is told in one line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SHADOWS, AUXILIARY, BATCH, LR = 16, 600, 32, 1e-3
STATISTICS = {"lira-online": "lira", "rmia": "rmia", "base-online": "base", "population": "population"}
"""Ours -> theirs."""

NETWORK = """
import torch
from torch import nn

class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(784, 256), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(x.flatten(1))))
"""


def subset(file: Path, records: int) -> tuple[np.ndarray, np.ndarray]:
    """``records`` of a file and some more that nobody trains on, as stored."""
    with np.load(file) as data:
        x, y = data["x_train" if "x_train" in data else "x"], data["y_train" if "y_train" in data else "y"]
    order = np.random.default_rng(0).permutation(len(x))[: records + AUXILIARY]
    return x[order].reshape(len(order), 28, 28), y[order].astype(np.int64)


def ours(file: Path, records: int, epochs: int, where: Path) -> dict[str, float]:
    """Our audit; AUC of each statistic."""
    x, y = subset(file, records)
    test = np.arange(100)
    np.savez(where / "some.npz", x_train=x, y_train=y, x_test=255 - x[test], y_test=y[test])
    words = f"""run --protocol fedavg --attack membership --dataset npz --data-dir {where / "some.npz"} --clients 1
        --rounds 1 --candidates {records} --auxiliary {AUXILIARY} --public-size 0 --local-epochs {epochs}
        --batch-size {BATCH} --lr {LR} --model mlp --shadows {SHADOWS} --adversary server
        --observations uploaded-weights --targets one --no-coop --no-baselines --workers 1 --format json
        --out {where / "runs"}"""
    command = [sys.executable, "-m", "fedprivacy", *words.split()]
    for name in STATISTICS:
        command += ["--statistic", name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout)["findings"]
    return {f["statistic"]: f["value"] for f in found if f["metric"] == "AUC" and f["target"] != "client-0"}


def theirs(file: Path, records: int, epochs: int, where: Path, peer: Path) -> dict[str, float]:
    """LeakPro's audit; AUC of each attack. SystemExit with one line where a package that it imports is missing."""
    from fedprivacy.torchvision_guard import import_torchvision

    import_torchvision()
    sys.path.insert(0, str(peer))
    try:
        import joblib
        import torch
        import yaml
        from leakpro import LeakPro
        from leakpro.attacks.mia_attacks.attack_factory_mia import AttackFactoryMIA  # noqa: F401
        from leakpro_handler import Handler
    except ImportError as error:
        raise SystemExit(f"LeakPro in {peer} needs the package {error.name}: install it, beside the others.") from None
    os.chdir(where)
    (where / "network.py").write_text(NETWORK)
    sys.path.insert(0, str(where))
    from network import Perceptron

    x, y = subset(file, records - AUXILIARY)
    data = Handler.UserDataset(torch.from_numpy(x).float().div(255), torch.from_numpy(y))
    joblib.dump(data, where / "population.pkl")
    half = (records - AUXILIARY) // 2
    train, test = list(range(half)), list(range(half, 2 * half))
    torch.manual_seed(0)  # noqa: TID251
    model, loss = Perceptron(), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def loader(rows: list[int]) -> Any:
        own = Handler.UserDataset(data.data[rows], data.targets[rows])
        return torch.utils.data.DataLoader(own, batch_size=BATCH, shuffle=True)

    trained = Handler.train(None, loader(train), model, loss, optimizer, epochs)
    tested = Handler.eval(None, loader(test), model, loss)
    (where / "target").mkdir()
    torch.save(model.state_dict(), where / "target" / "target_model.pkl")  # noqa: TID251
    card = LeakPro.make_mia_metadata(trained, optimizer, loss, loader(train), tested, epochs, train, test, "fashion")
    joblib.dump(card, where / "target" / "model_metadata.pkl")
    shadows = {"num_shadow_models": SHADOWS, "training_data_fraction": 0.5, "online": True}
    attacks: list[dict[str, Any]] = [
        {"attack": "lira", "var_calculation": "fixed", **shadows},
        {"attack": "rmia", **shadows},
        {"attack": "base", **shadows},
        {"attack": "population"},
    ]
    audit = {"random_seed": 0, "attack_list": attacks, "output_dir": str(where / "out"), "attack_type": "mia"}
    target = {"module_path": str(where / "network.py"), "model_class": "Perceptron"}
    target |= {"target_folder": str(where / "target"), "data_path": str(where / "population.pkl")}
    settings = {"audit": {**audit, "data_modality": "tabular"}, "target": target}
    (where / "audit.yaml").write_text(yaml.safe_dump(settings))
    results = LeakPro(Handler, str(where / "audit.yaml")).run_audit()
    return {entry["attack"]: float(one.roc_auc) for entry, one in zip(attacks, results, strict=True)}


def timed(side: str, options: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """Cpu-seconds of a side as a process of its own, and its AUCs. SystemExit with what it said where it fails."""
    command = [sys.executable, __file__, "--side", side, "--data", str(options.data), "--peer", str(options.peer)]
    command += ["--records", str(options.records), "--epochs", str(options.epochs)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{side}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="Fashion-MNIST as .npz: x_train, y_train")
    parser.add_argument("--peer", type=Path, help="a clone of LeakPro; without it ours alone is timed")
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data = options.data.resolve()
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            given = options.data, options.records, options.epochs, Path(folder)
            found = ours(*given) if options.side == "ours" else theirs(*given, options.peer.resolve())
            print(json.dumps(found))
        return
    if options.peer is not None and not (options.peer / "leakpro").is_dir():
        raise SystemExit(f"--peer: {options.peer} holds no folder leakpro: give a clone of LeakPro.")
    sides = {side: timed(side, options) for side in ("ours", "theirs") if side == "ours" or options.peer}
    for side, (spent, aucs) in sides.items():
        print(f"{side}: {spent:.1f} cpu-s; AUC " + ", ".join(f"{name} {value:.3f}" for name, value in aucs.items()))
    if options.peer:
        print(f"{sides['theirs'][0] / sides['ours'][0]:.2f} times fewer cpu-seconds")
    if options.json:
        options.json.write_text(json.dumps({side: {"cpu": s, "auc": a} for side, (s, a) in sides.items()}, indent=1))


if __name__ == "__main__":
    main()
