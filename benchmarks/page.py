"""The table and the page of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from measure import Figures, exponent
from peer import SERVERS

HEAD = ("what", "cpu-s", "peak MB", "beside")
TITLES = {
    "steps": "one training step, batch 32",
    "protocols": "one round",
    "private": "one epoch of 512 records",
    "scoring": "one statistic",
    "growth": "a whole federation",
    "attacks": "what an attack adds to five rounds",
    "banks": "a whole audit",
    "ray": "jobs on a Ray cluster",
}


def table(found: Mapping[str, Mapping[str, Figures]], elsewhere: Mapping[str, str] = {}) -> str:
    """All cells, and behind each series that one machine measured the exponent of its growth.

    ``elsewhere``: by name, which machine measured a cell, where it was another than that of the rest.
    """
    lines = [f"| {' | '.join(HEAD)} |", "|---|---:|---:|---|"]
    for kind, cells in found.items():
        if cells:
            lines.append(f"| **{TITLES[kind]}** | | | |")
            lines += [f"| {' | '.join(row)} |" for row in _rows(cells, elsewhere)]
    return "\n".join(lines)


def _rows(cells: Mapping[str, Figures], elsewhere: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    series: dict[str, list[Figures]] = {}
    machines: dict[str, set[str]] = {}
    for name, figures in cells.items():
        family = name.rpartition("/")[0]
        if family and "size" in figures:
            series.setdefault(family, []).append(figures)
            machines.setdefault(family, set()).add(elsewhere.get(name, ""))
        memory = f"{figures['memory_mb']:,.0f}" if "memory_mb" in figures else ""
        yield name.replace("/", " ") if family else name, _seconds(figures["cpu_s"]), memory, _beside(figures)
    for family, every in series.items():
        if len(every) > 1 and len(machines[family]) == 1:
            columns = [[one[key] for one in every] for key in ("size", "cpu_s", "memory_mb")]
            power = exponent(columns[0], columns[1])
            last = exponent(columns[0][-2:], columns[1][-2:])
            words = f"cost grows as size to the power {power:.2f}, between the last two {last:.2f}"
            yield f"*{family}*", "", "", words


def _beside(figures: Figures) -> str:
    words = []
    if "of_matmul" in figures:
        words.append(f"{figures['gflop']:.2f} GFLOP, {figures['of_matmul']:.0%} of the rate of matrix products")
    for key, what in (("pfllib_s", "PFLlib"), ("pfllib_without_look_s", "without its look")):
        if key in figures:
            words.append(f"{what} {figures[key]:.2f}: **{figures[key] / figures['cpu_s']:.2f} times**")
    if "pfllib_s" in figures:
        words.append(f"at that rate it would be {figures['pfllib_s'] / figures['matmul_bound_s']:.1f} times")
    if "kernels_s" in figures:
        share = figures["kernels_s"] / figures["cpu_s"]
        words.append(f"its kernels in a bare loop {_seconds(figures['kernels_s'])}, {share:.0%} of it")
    for key, what in (("plain_s", "plain"), ("opacus_s", "Opacus")):
        if key in figures:
            words.append(f"{what} {_seconds(figures[key])}, {figures['cpu_s'] / figures[key]:.2f} times as much")
    if "run_s" in figures:
        words.append(f"the run without it {_seconds(figures['run_s'])}")
    if "of_input_mb" in figures:
        words.append(f"of it {figures['of_input_mb']:,.0f} MB are the signals")
    for key, value in figures.items():
        if key.startswith("ray_"):
            words.append(f"{key.removeprefix('ray_').replace('_', ' ')} {value:.3g}")
    return "; ".join(words)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"


def page(stored: Mapping[str, Any], missing: Sequence[str]) -> str:
    """The page of ``reports``; ``missing``: cells that nobody measured."""
    rounds = stored["cells"].get("protocols", {})
    sides = [rounds[f"round of {name}"] for name in SERVERS if "pfllib_s" in rounds.get(f"round of {name}", {})]
    ratios = {
        "whole": _list(one["pfllib_s"] / one["cpu_s"] for one in sides),
        "without": _list(one["pfllib_without_look_s"] / one["cpu_s"] for one in sides),
        "most": _list(one["pfllib_s"] / one["matmul_bound_s"] for one in sides),
    }
    machine = ", ".join(map(str, stored["machine"].values()))
    elsewhere = stored.get("elsewhere", {})
    cells = table(stored["cells"], elsewhere)
    return INTRODUCTION.format(machine=machine, **ratios) + f"{cells}\n{_moved(elsewhere)}{_unmeasured(missing)}"


def _moved(machines: Mapping[str, str]) -> str:
    """Which cells another machine measured than that of the rest."""
    names = "".join(f"- {name.replace('/', ' ')}: {machine}\n" for name, machine in machines.items())
    return f"\nOn another machine than the rest; these compare with one another alone:\n\n{names}" if names else ""


def _unmeasured(missing: Sequence[str]) -> str:
    names = "".join(f"- {name.replace('/', ' ')}\n" for name in missing)
    return f"\nNot measured here:\n\n{names}" if missing else ""


def _list(values: Iterable[float]) -> str:
    words = [f"{value:.2f}" for value in values]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "(not measured)"


INTRODUCTION = """# What things cost

Rounds of FedAvg, FML and FedKD take {whole} times fewer cpu-seconds than PFLlib's own.
PFLlib looks at all training and test records in every round; without that look they take {without} times fewer.
The goals of 3, 4 and 5 times are not reached. At the rate of this processor's matrix products, the operations
of these rounds would take {most} times fewer: no loop around direct convolutions does better.

> **Erratum.** An earlier page divided a time given for PFLlib on another core and another day by the best of our three
> rounds, and said that three, four and eight times less "hold". They do not. A later one compared with plain loops of
> our own writing. This one runs the library itself, both sides in one process, taken in turn, as means.

## How it was measured
Regenerate: `make bench BENCH="--peer DIR"`, with a clone of TsingZ0/PFLlib (here: commit d832e76) in `DIR`. It takes
about 15 minutes of processor time; `--resume` goes on where it was stopped, `--only` names kinds or cells, and the
figures lie in `protocol_speed.json`. Machine: {machine}, one thread.

- All times are cpu-seconds, because other jobs shared the machine. They slow both sides of a ratio.
- Each cell has a process of its own. Peak memory is what comes on top of a process with all imports. Where PFLlib
  stands beside, its federation is in it.
- PFLlib's servers, clients, network, loop and look run as they are (`benchmarks/peer.py`). It imports h5py to write
  results; an empty module stands in its place. Data, network size (582,026 parameters), batch, epochs and learning rate
  are ours. It leaves out what does not fill a batch of 32: 40 batches a round where ours has 45.
- Five clients share 1,347 scikit-learn digits padded to 28x28. feddf takes 10 steps a fusion.

## What bounds a round
Convolutions are most of it, and torch's kernels for the largest one run at the rate of matrix products already.
FedAvg's row has the time of these kernels in a bare loop, without autograd, messages or records: what is above it is
all that a better loop could save. Smaller slices of a batch, kernels in the other layout, and patches with one
product were tried, and are not faster. PFLlib's own training has the same kernels, so FedAvg gains little but the
look. FML and FedKD gain by one backward pass in the place of two, FedKD also by Gram matrices of updates in the place
of full decompositions.

## Ray beside the pool
`.venv-ray/bin/python benchmarks/ray_jobs.py --json reports/protocol_speed.json` (after `make ray`) adds the last two
rows: jobs of one cpu-second, two at a time, all processes counted. A cluster costs some seconds at its start and end
more than the pool, less than the 20 that were allowed. A job's extra cost is above the 3% that were asked for: Ray's
own processes work by the clock on the wall, and here a cpu-second took about ten seconds of it. On a quiet machine, or
for longer jobs, it has not been measured.

## All cells
"""
