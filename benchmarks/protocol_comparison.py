"""Every protocol on the same skewed clients: accuracy where it is used, bytes, and three claims of papers.

    python benchmarks/protocol_comparison.py --fashion FILE.npz --cache FOLDER --out reports/protocols.md

Ten clients, Dirichlet(0.3) over classes, all private records trained on (no membership game), 20 rounds (10 of the
CNN) of 2 local epochs, Adam, 500 public records that stay the same. "Own" accuracy: the model that a client ends up
using, on the test set weighted to the client's own class frequencies, mean over clients. "Balanced": the same on the
plain test set. Runs that the cache folder holds are not repeated, so an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedprivacy import catalog, folder
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment, Part
from fedprivacy.metrics.intervals import mean_interval, paired_interval
from fedprivacy.study.job import environment
from fedprivacy.training.range_coder import decode, entropy_bytes
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payloads import CodedLabels

CLIENTS, EPOCHS, ALPHA, PUBLIC = 10, 2, 0.3, 500
ROUNDS = {"mlp": 20, "cnn": 10}
UNCODED = "FD: cfd without coding"
ROWS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "mlp": {
        **{name: (name, {}) for name in ("local", "central", "fedavg", "fedprox", "fedasync", "fedbuff")},
        **{name: (name, {}) for name in ("layerwise-async", "fml", "fedkd", "fedckd", "fedproto", "profe")},
        **{name: (name, {}) for name in ("mutual", "fedmd", "ds-fl", "feddf", "fedkd-hybrid", "cfd")},
        UNCODED: ("cfd", {"bits_up": 32, "bits_down": 32}),
        "fedkd, small mentee": ("fedkd", {"mentee": "mlp-small"}),
        "fedbuff, no momentum": ("fedbuff", {"server_momentum": 0.0}),
    },
    "cnn": {
        **{name: (name, {}) for name in ("local", "fedavg", "fml", "fedkd")},
        "fedkd, small mentee": ("fedkd", {"mentee": "gupta-cnn"}),
    },
}
"""By architecture: label -> protocol and settings."""
CLOTHES = (
    *("local", "fedavg", "fml", "fedkd", "fedkd, small mentee", "cfd", UNCODED),
    *("central", "fedproto", "ds-fl", "fedckd"),
)
"""Rows on Fashion-MNIST."""
CODED = ("cfd", UNCODED)
"""Rows with a larger public fold."""
CLAIMED = ("local", "fedavg", "fml", "fedkd", "fedkd, small mentee")
"""Rows that rest on small differences of accuracy, with more seeds on the digits."""
LARGE_FOLD, FEW, MANY = 2000, 3, 8
SHARED = "server/model"
INTRODUCTION = """# Protocols on the same skewed clients

Ten clients, Dirichlet(0.3) over classes, 2 local epochs a round, Adam 1e-3, batch 32, full participation, default
settings; 20 rounds, of the CNN and of the large public fold 10. A seed decides partition, initial weights and order. In
brackets: 95 % intervals (Student t over seeds), of differences over pairs of the same seed; with few seeds they are
wide.

Own accuracy: the model that a client ends up using, on the test set weighted to the client's class frequencies, mean
over clients, in per cent. Balanced: the same on the plain test set. Shared model: balanced accuracy of the meme or
mentee that travels. Bytes: per client and round, messages as encoded, and of the upload the values without headers;
public records not counted.

Mutual, FedMD and layerwise-async also train on the labels of the 500 public records, and FedDF stops by 100 of them;
the others see no labels but their own.

Settings are the defaults, which are those of the papers where they state them, and were not tuned for this page. One
thing was tried on another seed (100) first: a fresh optimiser in every round changes FedAvg by -0.2 points, so its
persistent one is no straw man. FedKD's mentee is a third or a sixth of the mentor in the paper, and by default as
large as the mentor here; the rows "small mentee" are the paper's case: a perceptron of 64 units beside one of 256, or
the smaller convolutional network. FedKD is tested with its mentors, as in the paper, and these are personal models;
the mentee's accuracy stands beside theirs, because on balanced data it is what compares with FedAvg's model.
FedBuff's default step of the server (0.7, momentum 0.9) is made for long runs over many clients; in 20 steps it
overshoots, as the row without momentum shows. On the digits FML against FedAvg was undecided with three seeds, so the
rows that rest on small differences were run again with eight.

Regenerate: `python benchmarks/protocol_comparison.py --fashion fashion_mnist_10k.npz --cache FOLDER --out
reports/protocols.md`. The file is a class-balanced subset of Fashion-MNIST: 10,000 training and 2,000 test images."""


@dataclass(frozen=True)
class Block:
    """One table: its title, the name of its cached runs, and what it is made of."""

    title: str
    name: str
    data: Mapping[str, Any]
    model: str
    rows: Collection[str]
    seeds: int


def configuration(
    data: Mapping[str, Any], model: str, protocol: str, options: Mapping[str, Any], seed: int
) -> RunConfig:
    """One run; whatever the protocol, every client has the same private records."""
    roles = {"candidates": None, "inclusion": 1.0, "auxiliary": 0, "public_size": PUBLIC, "public_set": "static"}
    return RunConfig.model_validate(
        {
            "protocol": protocol,
            "options": dict(options),
            "clients": CLIENTS,
            "rounds": ROUNDS[model] // 2 if data.get("public_size") == LARGE_FOLD else ROUNDS[model],
            "seed": seed,
            "data": {**roles, **data, "partition": "dirichlet", "alpha": ALPHA},
            "training": {"model": model, "local_epochs": EPOCHS},
        }
    )


def per_class(env: Environment, architecture: str, weights: Part) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Test accuracy [C] of a model on each class."""
    guesses = env.workbench.logits(architecture, weights, env.dataset.x_test).argmax(dim=1).numpy()
    y = env.dataset.y_test
    return np.array([(guesses[y == label] == label).mean() for label in range(len(env.dataset.classes))])


def accuracies(env: Environment, models: Mapping[str, tuple[str, Part]]) -> tuple[float, float]:
    """(own, balanced) accuracy, mean over clients; a client without a model of its own uses the common one."""
    common = next((m for owner, m in models.items() if not owner.startswith("client-")), None)
    own, balanced = [], []
    known: dict[int, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for client in range(env.clients):
        model = models.get(f"client-{client}", common)
        assert model is not None
        if id(model) not in known:
            known[id(model)] = per_class(env, *model)
        counts = np.bincount(env.private(client, 1).y, minlength=len(env.dataset.classes))
        own.append(float((known[id(model)] * counts).sum() / counts.sum()))
        frequencies = np.bincount(env.dataset.y_test, minlength=len(counts))
        balanced.append(float((known[id(model)] * frequencies).sum() / frequencies.sum()))
    return float(np.mean(own)), float(np.mean(balanced))


def measured(config: RunConfig) -> dict[str, float]:
    """One run and what came of it."""
    env, _ = environment(config, config.seed, None)
    protocol = catalog.protocol(config)
    share = CLIENTS * config.rounds
    with tempfile.TemporaryDirectory() as place:
        done = engine.run(protocol, env, Path(place))
        up = [m for m in done.transcript.messages if m.sender != SERVER]
        down = [m for m in done.transcript.messages if m.receiver != SERVER]
        coded = [entropy_of(done.transcript.payload(m)) for m in up if m.kind == CodedLabels.kind]
    own, balanced = accuracies(env, protocol.models(done.state, env))
    found = {
        "own": own,
        "balanced": balanced,
        "up_payload": sum(m.payload_bytes for m in up) / share,
        "up": sum(m.encoded_bytes for m in up) / share,
        "down": sum(m.encoded_bytes for m in down) / share,
    }
    if config.protocol in ("fml", "fedkd"):
        option = config.options.get("meme" if config.protocol == "fml" else "mentee") or config.training.model
        found["shared"] = accuracies(env, {"common": (option, done.state.parts[SHARED])})[1]
    return found | ({"entropy": sum(coded) / share} if coded else {})


def entropy_of(payload: Any) -> float:
    """Bytes of an ideal code for the symbols of one upload that is coded with one bit."""
    alphabet = payload.classes + payload.delta
    return entropy_bytes(decode(payload.code.numpy().tobytes(), payload.records, alphabet))


def known_as(config: RunConfig) -> str:
    """Digest of what a run sets itself; it depends neither on where the data lie nor on settings that came later."""
    data = config.data.model_copy(update={"data_dir": None})
    chosen = config.model_copy(update={"data": data}).model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def collected(cache: Path, block: Block, known_only: bool = False) -> dict[str, list[dict[str, float]]]:
    """Label -> what each seed measured, from the cache or anew; ``known_only``: no row that has a run to do."""
    results: dict[str, list[dict[str, float]]] = {}
    for label in block.rows:
        protocol, options = ROWS[block.model][label]
        for seed in range(block.seeds):
            config = configuration(block.data, block.model, protocol, options, seed)
            place = cache / f"{block.name}-{known_as(config)}.json"
            if not place.exists():
                if known_only:
                    results.pop(label, None)
                    break
                folder.write_json(place, measured(config))
                print(f"{block.title}: {label}, seed {seed}", flush=True)
            results.setdefault(label, []).append(json.loads(place.read_text()))
    return results


def cell(values: list[float], digits: int = 1) -> str:
    """Mean and 95 % interval in per cent."""
    found = mean_interval([100 * v for v in values])
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def difference(first: list[float], second: list[float]) -> tuple[str, float, float]:
    """Paired difference in points as text, and its bounds."""
    found = paired_interval([100 * v for v in first], [100 * v for v in second])
    return f"{found.value:+.1f} [{found.low:+.1f}, {found.high:+.1f}]", found.low, found.high


def column(rows: list[dict[str, float]], key: str) -> list[float]:
    """One measure of all seeds."""
    return [row[key] for row in rows]


def table(results: Mapping[str, list[dict[str, float]]]) -> list[str]:
    """A Markdown table."""
    lines = [
        "| protocol | own accuracy | minus FedAvg | balanced | shared model | up B | payload | down B |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for label, rows in results.items():
        against = ""
        if label != "fedavg" and "fedavg" in results:
            against = difference(column(rows, "own"), column(results["fedavg"], "own"))[0]
        shared = cell(column(rows, "shared")) if "shared" in rows[0] else ""
        sizes = [f"{np.mean(column(rows, key)):,.0f}" for key in ("up", "up_payload", "down")]
        cells = [label, cell(column(rows, "own")), against, cell(column(rows, "balanced")), shared, *sizes]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def mutual_claim(results: Mapping[str, list[dict[str, float]]]) -> list[str]:
    """FML against FedAvg, and against no exchange at all."""
    lines = []
    for other, what in (("fedavg", "FedAvg's global model"), ("local", "models trained without any exchange")):
        text, low, high = difference(column(results["fml"], "own"), column(results[other], "own"))
        verdict = "holds" if low > 0 else "does not hold" if high < 0 else "is undecided"
        lines.append(f"- FML's private models beat {what} on the clients' own data: {verdict}, {text} points.")
    return lines


def distilled_claim(results: Mapping[str, list[dict[str, float]]]) -> list[str]:
    """FedKD's accuracy and bytes against FedAvg's."""
    lines = []
    fedavg = results["fedavg"]
    for label in ("fedkd", "fedkd, small mentee"):
        if label not in results:
            continue
        rows = results[label]
        up = float(np.mean(column(fedavg, "up")) / np.mean(column(rows, "up")))
        both = float(np.mean(both_ways(fedavg)) / np.mean(both_ways(rows)))
        small = "under a fifth" if both > 5 else "not under a fifth"
        lines.append(f"- {label}: 1/{up:.1f} of FedAvg's upload, 1/{both:.1f} both ways, {small}. Its accuracy minus")
        for what, ours, theirs in (("mentors, own", "own", "own"), ("mentee, balanced", "shared", "balanced")):
            text, low, high = difference(column(rows, ours), column(fedavg, theirs))
            near = "within a point or above" if low > -1 else "short by over a point" if high < -1 else "undecided"
            lines.append(f"  FedAvg's ({what}): {text} points, {near}{';' if what.startswith('mentors') else '.'}")
    return lines


def both_ways(rows: list[dict[str, float]]) -> list[float]:
    """Bytes up and down of each seed."""
    return [row["up"] + row["down"] for row in rows]


def coded_claim(results: Mapping[str, list[dict[str, float]]], records: int) -> list[str]:
    """CFD's bytes and accuracy against those of uncoded soft labels of the same records."""
    full, coded = results[UNCODED], results["cfd"]
    payload = np.mean(column(full, "up_payload")) / np.mean(column(coded, "up_payload"))
    encoded = np.mean(column(full, "up")) / np.mean(column(coded, "up"))
    text = difference(column(coded, "balanced"), column(full, "balanced"))[0]
    return [
        f"- CFD uploads at least 100 times less than FD: {'holds' if payload >= 100 else 'does not hold'} for the "
        f"coded values, {payload:.0f} times; with the headers of messages {encoded:.0f} times. Accuracy minus FD's: "
        f"{text} points.",
        f"- CFD's coder takes {np.mean(column(coded, 'up_payload')):.1f} bytes an upload; an ideal code that knew the "
        f"frequencies beforehand would take {np.mean(column(coded, 'entropy')):.1f}, and log2(10) bits a "
        f"record {records * np.log2(10) / 8:.1f}.",
    ]


def claims(results: Mapping[str, list[dict[str, float]]], records: int) -> list[str]:
    """What papers claim, as far as these rows can tell."""
    lines = []
    if "fml" in results and "local" in results:
        lines += mutual_claim(results)
    if "fedkd" in results and "fedavg" in results:
        lines += distilled_claim(results)
    if "cfd" in results and UNCODED in results:
        lines += coded_claim(results, records)
    return lines


def blocks(fashion: str | None, seeds: int) -> list[Block]:
    """Every table; the slow ones have fewer seeds."""
    digits = {"dataset": "mnist5k"}
    found = [
        Block("Digits: 5,000 of MNIST, mlp", "digits", digits, "mlp", ROWS["mlp"], seeds),
        Block("Digits again, with more seeds", "digits", digits, "mlp", CLAIMED, MANY),
    ]
    if fashion:
        clothes = {"dataset": "npz", "data_dir": fashion}
        large = {**clothes, "public_size": LARGE_FOLD}
        title = f"Clothes, {LARGE_FOLD:,} public records, mlp"
        found += [
            Block("Clothes: 10,000 of Fashion-MNIST, mlp", "clothes", clothes, "mlp", CLOTHES, seeds),
            Block(title, "clothes", large, "mlp", CODED, min(seeds, FEW)),
        ]
    return [*found, Block("Digits: 5,000 of MNIST, cnn", "digits", digits, "cnn", ROWS["cnn"], min(seeds, FEW))]


def main() -> None:
    """Run what is missing and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", help="file with Fashion-MNIST as x_train, y_train, x_test, y_test (uint8)")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the result of each run")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--known-only", action="store_true", help="run nothing: rows whose runs are all in the cache")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [INTRODUCTION]
    for block in blocks(arguments.fashion, arguments.seeds):
        results = collected(arguments.cache, block, arguments.known_only)
        if not results:
            continue
        found = claims(results, block.data.get("public_size", PUBLIC))
        lines += ["", f"## {block.title}, {block.seeds} seeds", "", *table(results), "", *found]
    arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
