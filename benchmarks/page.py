"""The table and the page of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from measure import Figures, exponent
from peer import SERVERS

GOALS = {"fedavg": 3, "fml": 4, "fedkd": 5}
"""Times fewer cpu-seconds than PFLlib's."""
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
            columns = [[one[key] for one in every] for key in ("size", "cpu_s")]
            power = exponent(columns[0], columns[1])
            last = exponent(columns[0][-2:], columns[1][-2:])
            words = f"cost grows as size to the power {power:.2f}, between the last two {last:.2f}"
            yield f"*{family}*", "", "", words


def _beside(figures: Figures) -> str:
    words = []
    if "of_matmul" in figures:
        words.append(f"{figures['gflop']:.2f} GFLOP, {figures['of_matmul']:.0%} of the rate of matrix products")
    if "pfllib_mb" in figures:
        words.append(f"PFLlib {figures['pfllib_mb']:,.0f} MB")
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
    if "whole_mb" in figures:
        words.append(
            f"of it {_seconds(figures['margins_s'])} s for margins; the whole process {figures['whole_mb']:,.0f} MB"
        )
    for key, value in figures.items():
        if key.startswith("ray_"):
            words.append(f"{key.removeprefix('ray_').replace('_', ' ')} {value:.3g}")
    return "; ".join(words)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"


def page(stored: Mapping[str, Any], missing: Sequence[str]) -> str:
    """The page of ``reports``, each sentence on a figure made from the cells; ``missing``: what nobody measured."""
    cells, elsewhere = stored["cells"], stored.get("elsewhere", {})
    machine = ", ".join(map(str, stored["machine"].values()))
    parts = [
        "# What things cost",
        _beside_the_peer(cells.get("protocols", {})),
        HISTORY,
        MEASURED.format(machine=machine),
        "## What bounds a round",
        _bounds(cells.get("protocols", {})),
        OTHERWISE,
        "## Scoring",
        _scoring(cells.get("scoring", {})),
        FILES,
        "## Ray beside the pool",
        RAY,
        _on_ray(list(cells.get("ray", {}).values())),
        "## All cells",
        f"{table(cells, elsewhere)}\n{_moved(elsewhere)}{_unmeasured(missing)}",
    ]
    return "\n\n".join(fill(part, 120) if part[0] not in "#>|" and "\n" not in part else part for part in parts if part)


def _beside_the_peer(rounds: Mapping[str, Figures]) -> str:
    sides = {name: rounds[f"round of {name}"] for name in SERVERS if "pfllib_s" in rounds.get(f"round of {name}", {})}
    if not sides:
        return "No round was measured beside PFLlib's here."
    whole = {name: one["pfllib_s"] / one["cpu_s"] for name, one in sides.items()}
    without = [one["pfllib_without_look_s"] / one["cpu_s"] for one in sides.values()]
    most = [one["pfllib_s"] / one["matmul_bound_s"] for one in sides.values()]
    reached = [name for name, times in whole.items() if times >= GOALS[name]]
    goals = _list([f"{GOALS[name]}" for name in sides])
    words = (
        f"Rounds of {_list(list(sides))} take {_times(whole.values())} times fewer cpu-seconds than PFLlib's own. "
        "PFLlib looks at all training and test records in every round; without that look they take "
        f"{_times(without)} times fewer. The goals, {goals} times, are reached by {_list(reached) or 'none'}. "
        "At the rate of this processor's matrix products, the operations of these rounds would take "
        f"{_times(most)} times fewer."
    )
    memory = [(one["memory_mb"], one["pfllib_mb"]) for one in sides.values() if "pfllib_mb" in one]
    if len(memory) == len(sides):
        ours, theirs = (_list([f"{value:.0f}" for value in column]) for column in zip(*memory, strict=True))
        words += f" They take {ours} MB of memory on top of imports, PFLlib's {theirs}."
    return words


def _bounds(rounds: Mapping[str, Figures]) -> str:
    shares = [one["of_matmul"] for one in rounds.values() if "of_matmul" in one]
    if not shares:
        return ""
    words = (
        f"At the rate of the machine's own matrix products the operations of a round, most of them convolutions, would "
        f"take {min(shares):.0%} to {max(shares):.0%} of it."
    )
    alone = [one["kernels_s"] / one["cpu_s"] for one in rounds.values() if "kernels_s" in one]
    if alone:
        words += (
            " FedAvg's row has the time of the kernels of its network in a bare loop, without autograd, messages or "
            f"records: {alone[0]:.0%} of the round. What is above it is all that a better loop could save."
        )
    return words


def _scoring(cells: Mapping[str, Figures]) -> str:
    counted = {name.partition(",")[0]: one for name, one in sorted(cells.items(), key=_size) if "whole_mb" in one}
    if not counted:
        return ""
    words = [
        f"{name} of {one['size']:,.0f} candidates takes {_seconds(one['cpu_s'])} cpu-seconds, and the process holds "
        f"{one['whole_mb']:,.0f} MB in all"
        for name, one in counted.items()
    ]
    return (
        f"Against 64 references {_list(words)}: imports, signals and all made of them (goals for a million: 10, 3,000)."
    )


def _size(cell: tuple[str, Figures]) -> float:
    return cell[1].get("size", 0)


def _on_ray(sides: Sequence[Figures]) -> str:
    if len(sides) != 2:
        return "It was not measured here."
    pool, ray = sides
    fixed = ray["ray_fixed_cpu_s"] - pool["ray_fixed_cpu_s"]
    more = " to ".join(dict.fromkeys(f"{ray[end]:.0%}" for end in ("more_least", "more_most")))
    turns = f"{ray['turns']:.0f} turn{'s' if ray['turns'] > 1 else ''}"
    return (
        f"Starting and stopping a cluster costs {fixed:.1f} cpu-seconds more than the pool (goal: at most 20). "
        f"In {turns} a job cost {more} more than in the pool (goal: at most 3%). Ray's own processes work by the clock "
        "on the wall, so what a job costs more grows with the time that it has to wait: the last row took "
        f"{ray['ray_wall_s']:.0f} seconds by the clock and {ray['cpu_s']:.0f} of processors, the pool's "
        f"{pool['ray_wall_s']:.0f} and {pool['cpu_s']:.0f}."
    )


def _moved(machines: Mapping[str, str]) -> str:
    """Which cells another machine measured than that of the rest."""
    names = "".join(f"- {name.replace('/', ' ')}: {machine}\n" for name, machine in machines.items())
    return f"\nOn another machine than the rest; these compare with one another alone:\n\n{names}" if names else ""


def _unmeasured(missing: Sequence[str]) -> str:
    names = "".join(f"- {name.replace('/', ' ')}\n" for name in missing)
    return f"\nNot measured here:\n\n{names}" if missing else ""


def _times(values: Iterable[float]) -> str:
    return _list([f"{value:.2f}" for value in values])


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


HISTORY = """\
> **Erratum.** An earlier page divided a time given for PFLlib on another core and another day by the best of our three
> rounds, and said that three, four and eight times less "hold". They do not. A later one compared with plain loops of
> our own writing. This one runs the library itself, both sides in one process, taken in turn, as means.
>
> A later one gave the memory of steps and rounds with that of the counter of operations and of the matrix product that
> is timed, 117 MB together; called 2,954 MB what scoring a million candidates takes, and left out the 389 MB of the
> process before it, so that it was above its goal of 3,000; and said of a job on Ray that it costs "above the 3%" more,
> where its rows said 34%, from one run of six jobs and one of two."""

MEASURED = """\
## How it was measured
Regenerate: `make bench BENCH="--peer DIR"`, with a clone of TsingZ0/PFLlib (its commit d832e76 is known to work) in
`DIR`; `--resume` goes on where it was stopped, `--only` names kinds or cells. Figures lie in `protocol_speed.json`.
Machine: {machine}, one thread. Every sentence here that holds a figure is made from that file.

- All times are cpu-seconds, since other jobs may share the machine. They slow both sides of a ratio.
- Each cell has a process of its own. Peak memory is what comes on top of a process with all imports. That of a step
  and of a round, and of PFLlib's, is of one more process that does nothing else; scoring says what the whole process
  holds too. A round without a figure was not measured since that is so.
- PFLlib's servers, clients, network, loop and look run as they are (`benchmarks/peer.py`). It imports h5py to write
  results; an empty module stands in its place. Data, network size (582,026 parameters), batch, epochs and learning rate
  are ours. It leaves out what does not fill a batch of 32: 40 batches a round where ours has 45.
- Five clients share 1,347 scikit-learn digits padded to 28x28. feddf takes 10 steps a fusion."""

OTHERWISE = """\
PFLlib's own training has the same kernels, so FedAvg gains little but the look. FML and FedKD have one backward pass
in the place of two, FedKD also Gram matrices of updates in the place of full decompositions."""

FILES = """\
References are read one after the other, as those of a bank of shadow federations are, and what is kept of each is its
margins; making these is in the time. `attack --scores FILE.npz` is another matter: it holds the logits of the file
whole, and once more as log-probabilities, 2.6 GB each for a million candidates, 64 references and ten classes."""

RAY = """\
`make ray`, then `.venv/bin/python benchmarks/ray_jobs.py --json reports/protocol_speed.json` adds two rows: jobs of a
few cpu-seconds, two at a time, all processes counted."""
