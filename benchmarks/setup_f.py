"""Membership statistics on one bank of 33 over-fitted networks: AUC and TPR at low FPR with 2 to 16 references.

The bank: Fashion-MNIST, a pool of 4,000 records; model 0 trains on the first half, models 1 to 32 on complementary
random halves. Multi-layer perceptron 784-256-10, SGD (rate 0.05, momentum 0.9), batch 50, 40 epochs. Targets are the
models 1, 3, ..., 31; their references are whole pairs of the others, so that every candidate has as many references
IN as OUT, and a target's own complement is never a reference.

    python benchmarks/setup_f.py --data fashion_mnist_10k.npz --cache setup_f_logits.npz --out reports/setup_f.md
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call, grad, vmap

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float, References, Signals
from fedprivacy.attacks.membership.evidence import evidence, population_evidence
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics.base import BaseOffline, BaseOnline
from fedprivacy.attacks.membership.statistics.bavaria import Bavaria
from fedprivacy.attacks.membership.statistics.calibrated import Calibrated
from fedprivacy.attacks.membership.statistics.correct import Correct
from fedprivacy.attacks.membership.statistics.labelfree import Entropy
from fedprivacy.attacks.membership.statistics.lira_offline import LiraOffline
from fedprivacy.attacks.membership.statistics.lira_online import LiraOnline
from fedprivacy.attacks.membership.statistics.loss import Loss
from fedprivacy.attacks.membership.statistics.mentr import ModifiedEntropy
from fedprivacy.attacks.membership.statistics.population import Population
from fedprivacy.attacks.membership.statistics.ratio import Ratio, evidence_log_ratio
from fedprivacy.attacks.membership.statistics.rmia import Rmia, beaten
from fedprivacy.config.run import AttackConfig, TrainingConfig
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.models.build import build as build_model
from fedprivacy.study.membership.foreign import judge_file
from fedprivacy.study.membership.scores_file import Bank, ScoresFile
from fedprivacy.training.learner import Records, Workbench

POOL, MODELS, EPOCHS, BATCH = 4000, 33, 40, 50
SIZES = (2, 4, 8, 16)
LEVELS = (0.001, 0.01, 0.1)
Score = Callable[[Signals], Float]


def rmia_untied(gamma: float) -> Score:
    """RMIA's share alone, ties left as they are."""

    def score(signals: Signals) -> Float:
        own = evidence_log_ratio(evidence(signals), 0.3)
        others = evidence_log_ratio(population_evidence(signals), 0.3)
        return beaten(own, others, gamma) / len(others)

    return score


# Name, score, whether it uses references, and what a prototype of the same formulas gave on a bank of its own:
# AUC and TPR at 0.1% for each number of references.
ROWS: list[tuple[str, Score, bool, dict[int, tuple[float, float | None]]]] = [
    ("loss", Loss().score, False, {2: (0.566, 0.002)}),
    ("population", Population().score, False, {2: (0.586, 0.001)}),
    ("mentr", ModifiedEntropy().score, False, {2: (0.566, None)}),
    ("entropy", Entropy().score, False, {2: (0.542, None)}),
    ("correct", Correct().score, False, {2: (0.571, None)}),
    (
        "calibrated",
        Calibrated().score,
        True,
        {2: (0.606, 0.011), 4: (0.609, 0.014), 8: (0.611, 0.018), 16: (0.611, 0.021)},
    ),
    (
        "**ratio** (default)",
        Ratio().score,
        True,
        {2: (0.644, 0.020), 4: (0.651, 0.027), 8: (0.656, 0.037), 16: (0.658, 0.042)},
    ),
    (
        "base-online, T=1",
        BaseOnline(temperature=1.0).score,
        True,
        {2: (0.651, 0.007), 4: (0.655, 0.011), 8: (0.658, 0.013), 16: (0.660, 0.018)},
    ),
    ("base-online, T=2", BaseOnline().score, True, {16: (0.671, 0.026)}),
    ("base-offline, T=2", BaseOffline().score, True, {16: (0.653, 0.045)}),
    (
        "rmia g=1, ties kept",
        rmia_untied(1.0),
        True,
        {2: (0.644, 0.003), 4: (0.651, 0.007), 8: (0.656, 0.019), 16: (0.658, 0.034)},
    ),
    (
        "rmia g=2, ties kept",
        rmia_untied(2.0),
        True,
        {2: (0.642, 0.020), 4: (0.649, 0.026), 8: (0.654, 0.037), 16: (0.657, 0.042)},
    ),
    ("rmia g=2", Rmia().score, True, {}),
    (
        "lira-offline, one-sided, fixed",
        LiraOffline(variance="fixed").score,
        True,
        {2: (0.600, 0.014), 4: (0.611, 0.017), 8: (0.621, 0.021), 16: (0.627, 0.022)},
    ),
    ("lira-offline, one-sided, per candidate", LiraOffline(variance="per-candidate").score, True, {}),
    (
        "lira-offline, two-sided, fixed",
        LiraOffline(variance="fixed", sides="two").score,
        True,
        {2: (0.538, 0.008), 4: (0.548, 0.012), 8: (0.556, 0.013), 16: (0.560, 0.015)},
    ),
    (
        "lira-online, fixed",
        LiraOnline(variance="fixed").score,
        True,
        {2: (0.593, 0.010), 4: (0.617, 0.019), 8: (0.634, 0.026), 16: (0.648, 0.036)},
    ),
    (
        "lira-online, per candidate",
        LiraOnline(variance="per-candidate").score,
        True,
        {8: (0.621, 0.004), 16: (0.646, 0.011)},
    ),
    ("bavaria", Bavaria().score, True, {4: (0.618, 0.019), 8: (0.636, 0.028), 16: (0.651, 0.038)}),
]


def memberships() -> Bool:
    """[models, pool], True where the model trains on the record."""
    draw = np.random.default_rng(7)
    used = np.zeros((MODELS, POOL), dtype=np.bool_)
    used[0, : POOL // 2] = True
    for first in range(1, MODELS, 2):
        order = draw.permutation(POOL)
        used[first, order[: POOL // 2]] = True
        used[first + 1, order[POOL // 2 :]] = True
    return used


def initial(model: int) -> dict[str, torch.Tensor]:
    """Weights as a linear layer draws them by default, from the seed 100 + model."""
    source = torch.Generator().manual_seed(100 + model)
    weights = {}
    for number, (inputs, outputs) in enumerate([(784, 256), (256, 10)]):
        bound = 1 / math.sqrt(inputs)
        name = str(2 * number)
        weights[f"{name}.weight"] = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=source)
        weights[f"{name}.bias"] = torch.empty(outputs).uniform_(-bound, bound, generator=source)
    return weights


def train(x: torch.Tensor, y: torch.Tensor, used: Bool) -> dict[str, torch.Tensor]:
    """Train all models at once; stacked weights, first axis the model."""
    net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))

    def loss(weights: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(functional_call(net, weights, (images,)), labels)

    starts = [initial(model) for model in range(len(used))]
    weights = {name: torch.stack([start[name] for start in starts]) for name in starts[0]}
    speed = {name: torch.zeros_like(value) for name, value in weights.items()}
    gradients = vmap(grad(loss))
    own = np.stack([np.flatnonzero(row) for row in used])
    orders = [seeds.numpy_generator(0, "setup-f", "order", model) for model in range(len(used))]
    for _ in range(EPOCHS):
        shuffled = torch.from_numpy(np.stack([order.permutation(row) for order, row in zip(orders, own, strict=True)]))
        for start in range(0, own.shape[1], BATCH):
            batch = shuffled[:, start : start + BATCH]
            step = gradients(weights, x[batch], y[batch])
            for name, value in weights.items():
                speed[name].mul_(0.9).add_(step[name])
                value.add_(speed[name], alpha=-0.05)
    return weights


def build(data: Path, cache: Path) -> float:
    """Train the bank and store logits on pool and population, labels and accuracies; CPU seconds spent."""
    start = time.process_time()
    source = np.load(data)
    images = [torch.from_numpy(source[f"x_{part}"]).flatten(1).float() / 255 for part in ("train", "test")]
    labels = [source[f"y_{part}"].astype(np.int64) for part in ("train", "test")]
    used = memberships()
    weights = train(images[0][:POOL], torch.from_numpy(labels[0][:POOL]), used)
    net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    query = vmap(lambda own, rows: functional_call(net, own, (rows,)), in_dims=(0, None))
    logits = query(weights, images[0][: 2 * POOL]).numpy()
    right = logits[:, :POOL].argmax(-1) == labels[0][:POOL]
    spent = time.process_time() - start
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        cache,
        logits=logits,
        labels=labels[0][: 2 * POOL],
        train_accuracy=(right & used).sum(1) / used.sum(1),
        test_accuracy=(query(weights, images[1]).numpy().argmax(-1) == labels[1]).mean(1),
        cpu_seconds=spent,
    )
    return spent


def signals_of(
    logp: Float, labels: NDArray[np.int64], used: Bool, target: int, references: NDArray[np.int64]
) -> Signals:
    """Signals of one target with the given models as references."""
    seen = np.ones((1, POOL), dtype=np.bool_)
    theirs = logp[references][:, None]
    return Signals(
        logp[target, None, :POOL],
        seen,
        seen,
        labels[:POOL],
        References(theirs[:, :, :POOL], used[references], theirs[:, :, POOL:]),
        logp[target, None, POOL:],
        labels[POOL:],
    )


def references_of(target: int, size: int) -> NDArray[np.int64]:
    """The first ``size`` models of the other pairs, in an order of the target's own; always both of a pair."""
    others = np.array([pair for pair in range((MODELS - 1) // 2) if pair != (target - 1) // 2])
    pairs = np.random.default_rng(target).permutation(others)[: size // 2]
    return np.concatenate([2 * pairs + 1, 2 * pairs + 2])


def measure(score: Float, coins: Bool) -> list[float]:
    """AUC, then TPR at each level."""
    members, others = score[coins], score[~coins]
    return [auc(members, others), *(tpr_at_fpr(members, others, level).tpr for level in LEVELS)]


def cell(values: Float, place: int) -> str:
    """Mean and standard error over targets of one metric; ``values`` [targets, metrics]."""
    column = values[:, place]
    digits = 3 if place == 0 else 4
    return f"{column.mean():.{digits}f} ± {column.std(ddof=1) / math.sqrt(len(column)):.{digits}f}"


def report(cache: Path) -> str:
    """The tables, as Markdown."""
    stored = np.load(cache)
    logp, labels, used = log_softmax(stored["logits"]), stored["labels"], memberships()
    targets = range(1, MODELS, 2)
    found: dict[tuple[str, int], Float] = {}
    for size in SIZES:
        given = [signals_of(logp, labels, used, target, references_of(target, size)) for target in targets]
        for name, score, needs, _ in ROWS:
            if needs or size == SIZES[0]:
                rows = [measure(score(one), used[target]) for one, target in zip(given, targets, strict=True)]
                found[name, size] = np.array(rows)
    lines = [
        "# Membership statistics on the same logits (setup F)",
        "",
        "What a statistic makes of the same predictions, with 2 to 16 reference models. Fashion-MNIST (MIT licence,",
        "Xiao et al. 2017), 33 networks 784-256-10, each trained on half of 4,000 records; 16 targets, each with 2,000",
        "members and 2,000 non-members. Chance: AUC 0.5 ± 0.018 for one target (95%), TPR equal to the FPR on average.",
        "References are complementary pairs, to compare with earlier figures; the test bed's own shadow bank draws",
        "independent coins. About twenty rules on one data set: believe the large gaps, not the small ones.",
        "",
        f"Mean training accuracy {stored['train_accuracy'].mean():.3f}, test {stored['test_accuracy'].mean():.3f};",
        f"{stored['cpu_seconds'] / MODELS:.2f} CPU seconds a model, all {MODELS} trained at once.",
        "",
        "Regenerate: `python benchmarks/setup_f.py --data fashion_mnist_10k.npz --cache setup_f_logits.npz --out",
        "reports/setup_f.md`. The data file holds `x_train`, `y_train`, `x_test`, `y_test` (uint8): a class-balanced",
        "subset of 10,000 training and 2,000 test images.",
        "",
        "Each cell: AUC, then TPR at 0.1% FPR, mean ± standard error over 16 targets. In brackets: an independent",
        "prototype of the same formulas on a bank of its own. At 0.1% two non-members may be called members, so one",
        "target alone carries no verdict there.",
        "",
        "| statistic | " + " | ".join(f"{size} references" for size in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for name, _, needs, figures in ROWS:
        cells = []
        for size in SIZES:
            if not needs and size != SIZES[0]:
                cells.append("")
                continue
            values, figure = found[name, size], figures.get(size)
            text = f"{cell(values, 0)} / {cell(values, 1)}"
            if figure is not None:
                text += f" ({figure[0]:.3f} / {'-' if figure[1] is None else format(figure[1], '.3f')})"
            cells.append(text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "## With 16 references, other false-positive rates", "", "| statistic | TPR at 1% | TPR at 10% |"]
    lines.append("|---|---|---|")
    for name, _, needs, _ in ROWS:
        values = found[name, SIZES[-1] if needs else SIZES[0]]
        lines.append(f"| {name} | {cell(values, 2)} | {cell(values, 3)} |")
    lines += ["", *all_targets(logp, labels, used), "", *comparisons(found)]
    return "\n".join(lines) + "\n"


def all_targets(logp: Float, labels: NDArray[np.int64], used: Bool) -> list[str]:
    """Every model of the pairs as a target, with all 30 models of the other pairs."""
    rows: dict[str, list[list[float]]] = {"ratio": [], "lira-online, fixed": []}
    for target in range(1, MODELS):
        one = signals_of(logp, labels, used, target, references_of(target, 30))
        rows["ratio"].append(measure(Ratio().score(one), used[target]))
        rows["lira-online, fixed"].append(measure(LiraOnline(variance="fixed").score(one), used[target]))
    figures = {"ratio": "(0.664 / 0.046)", "lira-online, fixed": "(0.660 / 0.042)"}
    lines = ["## All 32 targets, 30 references each", "", "| statistic | AUC / TPR at 0.1% |", "|---|---|"]
    for name, values in rows.items():
        lines.append(f"| {name} | {cell(np.array(values), 0)} / {cell(np.array(values), 1)} {figures[name]} |")
    return lines


def plain_seconds(data: Path) -> float:
    """CPU seconds of one model of the bank in a plain loop: batches, backward pass and step one after another."""
    source = np.load(data)
    images, labels = source["x_train"][:POOL].reshape(-1, 1, 28, 28), source["y_train"][:POOL].astype(np.int64)
    training = TrainingConfig(optimizer="sgd", lr=0.05, momentum=0.9, batch_size=BATCH)
    bench = Workbench(lambda name, seed: build_model(name, (1, 28, 28), 10, "softmax", seed[0], *seed[1]), training)
    rows = np.flatnonzero(memberships()[1])
    learner = bench.learner("mlp", bench.initial("mlp", (0, ("setup f",))))
    learner.fit(Records(images[rows[:BATCH]], labels[rows[:BATCH]]), 1, (0, ("setup f", "warm")))
    start = time.process_time()
    learner.fit(Records(images[rows], labels[rows]), EPOCHS, (0, ("setup f", "fit")))
    return time.process_time() - start


AUDIT = ("ratio", "loss", "lira-online", "lira-offline", "rmia", "base-online")


def audit_seconds(cache: Path) -> float:
    """CPU seconds of an audit once the 17 models answered: every step from logits to findings with intervals."""
    stored = np.load(cache)
    used = memberships()
    start = time.process_time()
    chosen = np.concatenate([[1], references_of(1, 16)])
    logits, labels = stored["logits"][chosen].astype(np.float64), stored["labels"]
    bank = Bank(logits[:, :POOL], used[chosen], labels[:POOL], 1, logits[:, POOL:], labels[POOL:])
    given = ScoresFile("setup F", "", used[1], np.zeros(POOL, dtype=np.int64), {}, bank)
    found = judge_file(given, AttackConfig(statistics=AUDIT))
    spent = time.process_time() - start
    if any(finding.flag == "error" for finding in found.findings):
        raise SystemExit("a statistic failed")
    return spent


def costs(data: Path, cache: Path) -> list[str]:
    """What a whole audit with 16 shadow models costs, and what of it is not training."""
    plain, together = plain_seconds(data), float(np.load(cache)["cpu_seconds"]) / MODELS
    beyond = audit_seconds(cache)
    return [
        "## Cost of an audit: one target, 16 shadow models, 6 statistics with intervals",
        "",
        "| part | CPU seconds |",
        "|---|---|",
        f"| training, one model in a plain loop | {plain:.2f} |",
        f"| training, one model of {MODELS} at once | {together:.2f} |",
        f"| 17 models, plain loop | {17 * plain:.1f} |",
        f"| 17 models, all at once | {17 * together:.1f} |",
        f"| everything else: from stored logits to findings | {beyond:.1f} |",
        f"| **whole audit** | **{17 * together + beyond:.1f}** (plain loop: {17 * plain + beyond:.1f}) |",
        "",
        "One thread of a shared machine: seconds move by a third from run to run. The networks are large enough that a",
        "step is bound by its matrix products and by the memory that the parameters take, so training many at once",
        "saves a third and no more; with Adam and batches of 64, as surrogates are trained, the plain loop was faster.",
        "",
    ]


def comparisons(found: dict[tuple[str, int], Float]) -> list[str]:
    """Paired differences over the 16 targets that carry the choice of defaults."""
    pairs = [
        ("**ratio** (default)", "rmia g=1, ties kept", 2, 1),
        ("**ratio** (default)", "lira-online, fixed", 2, 0),
        ("**ratio** (default)", "lira-online, fixed", 16, 0),
        ("lira-offline, one-sided, fixed", "lira-offline, two-sided, fixed", 16, 0),
        ("lira-online, fixed", "lira-online, per candidate", 8, 0),
        ("lira-online, fixed", "lira-online, per candidate", 8, 1),
        ("lira-online, fixed", "lira-online, per candidate", 16, 1),
    ]
    lines = [
        "## Paired differences",
        "",
        "| first minus second | references | metric | difference |",
        "|---|---|---|---|",
    ]
    for first, second, size, place in pairs:
        metric = "AUC" if place == 0 else "TPR at 0.1%"
        difference = cell(found[first, size] - found[second, size], place)
        lines.append(f"| {first} − {second} | {size} | {metric} | {difference} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="npz with x_train, y_train, x_test, y_test")
    parser.add_argument("--cache", type=Path, required=True, help="npz of logits; written if it does not exist")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.cache.exists():
        print(f"trained {MODELS} models in {build(options.data, options.cache):.0f} CPU seconds")
    start = time.process_time()
    text = report(options.cache) + "\n" + "\n".join(costs(options.data, options.cache))
    print(text)
    print(f"scored in {time.process_time() - start:.1f} CPU seconds")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
