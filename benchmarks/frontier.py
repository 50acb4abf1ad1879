"""The privacy-utility frontier as a page: what the runs of four sweeps found, at equal epsilon and with figures.

The sweeps are those of ``fedprivacy sweep``; the page is a function of the results that they stored.

    python benchmarks/frontier.py --commands | sh
    python benchmarks/frontier.py --out reports/frontier.md
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedprivacy import folder
from fedprivacy.judge.result import Finding, RunResult, from_json
from fedprivacy.reporting.figures import frontier_figure
from fedprivacy.reporting.figures.frontier import allowed_auc, headline_findings
from fedprivacy.reporting.text import epsilon, estimate, size

RUNS = "runs/frontier"
COMMON = (
    "--clients 3 --rounds 3 --candidates 1000 --local-epochs 5 --lr 0.005 --seeds 5 --workers 1 "
    f"--out {RUNS} --format markdown"
)
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0, math.inf)


@dataclass(frozen=True)
class Sweep:
    """One protocol under one defense; ``settings`` are options of either."""

    protocol: str
    defense: str
    settings: str
    adversaries: str
    about: str

    @property
    def command(self) -> str:
        return (
            f"fedprivacy sweep --protocol {self.protocol} --defense {self.defense} {self.settings} "
            f"--attack membership --adversary {self.adversaries} {COMMON}"
        )

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.defense}"

    @property
    def figure(self) -> str:
        return f"frontier_{self.name.replace('-', '_')}.png"

    def results(self, runs: Path) -> list[RunResult]:
        """Stored results by falling noise, that without a defense last. SystemExit where one is missing."""
        found = {}
        for path in sorted(runs.glob("*/result.json")):
            result = from_json(folder.read_json(path))
            if self.made(result.config):
                budget = result.config["defense"]["epsilon"]
                found[math.inf if budget is None else float(budget)] = result
        missing = [epsilon(e) for e in EPSILONS if e not in found]
        if missing:
            raise SystemExit(f"{self.name}: no result for epsilon {', '.join(missing)} in {runs}; run {self.command}")
        return [found[e] for e in EPSILONS]

    def made(self, config: Mapping[str, Any]) -> bool:
        """Whether the command of this sweep made a run of ``config``."""
        defense = config["defense"]
        wanted = self.options("--defense-set ") if defense["name"] == self.defense else {}
        return (
            config["protocol"] == self.protocol
            and defense["name"] in (self.defense, "none")
            and {name: as_text(value) for name, value in defense["options"].items()} == wanted
            and {name: as_text(value) for name, value in config["options"].items()} == self.options(" --set ")
            and same_size(config)
            and config["attack"]["attacks"] != []
        )

    def options(self, flag: str) -> dict[str, str]:
        """Settings of one kind, by name."""
        return dict(part.split()[0].split("=") for part in f" {self.settings}".split(flag)[1:])


def same_size(config: Mapping[str, Any]) -> bool:
    """Whether a run has the records, the training and the seeds of :data:`COMMON`."""
    data, training = config["data"], config["training"]
    sizes = (config["clients"], config["rounds"], config["seeds"], data["candidates"])
    return sizes == (3, 3, 5, 1000) and (training["local_epochs"], training["lr"]) == (5, 0.005)


def as_text(value: object) -> str:
    """A setting as the command line writes it."""
    return value if isinstance(value, str) else json.dumps(value)


SWEEPS = (
    Sweep(
        "mutual",
        "gaussian",
        "--set public_labels=false --defense-set project=false",
        "server,active-server",
        "Noise on each client's predictions, three releases. Sensitivity 2B with B the norm that probabilities of 64 "
        "records cannot exceed, so the standard deviation of the noise on one probability is {deviation}.",
    ),
    Sweep(
        "mutual",
        "dp-sgd",
        "--set public_labels=false",
        "server,active-server",
        "Noise inside private training; predictions are post-processing.",
    ),
    Sweep(
        "fedavg",
        "dp-fedavg",
        "--set weighting=uniform",
        "server,client-0",
        "Noise on each client's update, clipped to norm 1. **The unit is a client**: a stronger promise than one about "
        "a record, at the same epsilon, and with three clients one that no model survives.",
    ),
    Sweep(
        "fedavg",
        "dp-sgd",
        "--set weighting=uniform",
        "server,client-0",
        "Noise inside private training; weights are post-processing.",
    ),
)

HEAD = """# The privacy-utility frontier

What an epsilon costs, and what attacks still find, for predictions shared (`mutual`) and weights shared (`fedavg`).
mnist5k, three clients with 1,000 candidates each, of which a coin puts half into training, three rounds of five epochs,
the default multi-layer perceptron (Adam, rate 0.005), public folds of 64 records **without labels**, five seeds; all
else by default. A cheap setting: about 500 records a client and 240 private steps. Delta 1e-5. The epsilon is that of
the whole run, calibrated and then claimed by the accountant. Seeded noise: measurement only, no guarantee.

Regenerate: the four `fedprivacy sweep` commands below and the run of `local`
(`python benchmarks/frontier.py --commands | sh`), then `python benchmarks/frontier.py --out reports/frontier.md`.

AUC: headline statistic (`ratio`; references are the other clients alone), declared before the run, with its 95%
interval. *Allowed*: the largest AUC that the claim leaves to any attack on one record, 1 - (1 - delta)^2 / (1 + e^eps).
An AUC at chance under noise does not say that nothing leaks: these are attacks, the claim is a proof.

## What it says

- At this size no private exchange is as accurate as exchanging nothing: 500 records a client are few for DP-SGD, three
  clients are few for noise on updates, and 64 public records are too many for noise on predictions.
- Noise on predictions is flat in epsilon: at 16 to 185 times the range of a probability the peers teach nothing but
  noise, and what is left is what private training brings back each round. DP-SGD is more accurate from epsilon 4 on;
  at 2 the intervals overlap.
- Under DP-SGD weights are more accurate than predictions at epsilon 0.5 and 1; from 2 on the intervals touch. They
  take 198 times the bytes.
- Without noise the active server reads predictions at least as well as a passive one reads weights. Under DP-SGD the
  AUC falls to 0.505 to 0.547, far below what the claim allows. That is little, not nothing: the intervals of the
  servers lie above chance from epsilon 1 on. A large epsilon weakens these attacks, and proves little.
- The active server plants its probes in alternative last rounds, each a release of its own. Under noise on predictions
  those are more releases than the claim counts, so there its AUC is not held against the claim.
"""


def rows(sweep: Sweep, results: Sequence[RunResult]) -> list[str]:
    """The table of one sweep."""
    names = list(dict.fromkeys(name for result in results for name in headline_findings(result, "auc")))
    unit = next(r.privacy.unit for r in results if r.privacy.epsilon is not None)
    lines = [
        f"| epsilon ({unit}) | test accuracy | "
        + " | ".join(f"AUC: {name}" for name in names)
        + " | allowed | bytes |",
        "|---" * (len(names) + 4) + "|",
    ]
    for result in results:
        found, claim = headline_findings(result, "auc"), result.privacy
        utility, wire = result.utility["test_accuracy"], result.communication
        allowed = "-"
        if claim.epsilon is not None and claim.unit == "record":
            allowed = f"{allowed_auc(claim.epsilon, claim.delta):.3f}"
        cells = [epsilon(claim.epsilon), estimate(utility.mean, utility.low, utility.high)]
        cells += [measured(found.get(name)) for name in names]
        lines.append("| " + " | ".join([*cells, allowed, size(wire.up_bytes + wire.down_bytes)]) + " |")
    return lines


def measured(finding: Finding | None) -> str:
    if finding is None or finding.value is None or finding.low is None or finding.high is None:
        return "-"
    return estimate(finding.value, finding.low, finding.high)


def together(found: dict[str, list[RunResult]]) -> list[str]:
    """Accuracy of all sweeps at equal epsilon."""
    lines = [
        "| epsilon | " + " | ".join(name.replace("-", ", ", 1) for name in found) + " |",
        "|---" * (len(found) + 1) + "|",
    ]
    for place, value in enumerate(EPSILONS):
        cells = []
        for results in found.values():
            utility = results[place].utility["test_accuracy"]
            cells.append(estimate(utility.mean, utility.low, utility.high))
        lines.append(f"| {epsilon(value)} | " + " | ".join(cells) + " |")
    return lines


def alone(runs: Path) -> str:
    """Accuracy without any exchange, where it was run."""
    for path in sorted(runs.glob("local-*/result.json")):
        result = from_json(folder.read_json(path))
        utility = result.utility["test_accuracy"]
        if same_size(result.config):
            return (
                "Accuracy is the mean over the clients' models (`mutual`) or that of the shared one. A client that "
                f"exchanges nothing, and so needs no epsilon, has {estimate(utility.mean, utility.low, utility.high)}."
            )
    raise SystemExit(f"no run of local in {runs}; run {LOCAL}")


LOCAL = f"fedprivacy run --protocol local {COMMON.replace(' --format markdown', '')}"


def noise_of(results: Sequence[RunResult]) -> str:
    """Standard deviation on a centred probability at the smallest and the largest epsilon, in words."""
    ends = []
    for result in (results[0], results[-2]):
        multiplier = float(result.privacy.why.split("noise_multiplier=")[1].split(")")[0])
        ends.append(f"{multiplier * 2 * math.sqrt(64 * 0.9):.0f} at epsilon {epsilon(result.privacy.epsilon)}")
    return " and ".join(ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of run folders")
    parser.add_argument("--commands", action="store_true", help="print the commands that make the runs")
    parser.add_argument("--out", type=Path, help="Markdown file to write; figures go into figures/ beside it")
    options = parser.parse_args()
    if options.commands:
        print("\n".join([*(sweep.command for sweep in SWEEPS), LOCAL]))
        return
    found = {sweep.name: sweep.results(options.runs) for sweep in SWEEPS}
    page = [HEAD, "## Accuracy at equal epsilon", "", *together(found), "", alone(options.runs)]
    for sweep in SWEEPS:
        results = found[sweep.name]
        about = sweep.about.format(deviation=noise_of(results)) if "{" in sweep.about else sweep.about
        page += ["", f"## {sweep.protocol}, {sweep.defense}", "", about, "", f"`{sweep.command}`", ""]
        page += [*rows(sweep, results), "", f"![accuracy and leakage over epsilon](figures/{sweep.figure})"]
        if options.out:
            path = options.out.parent / "figures" / sweep.figure
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(frontier_figure(results))
    text = "\n".join(page) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
