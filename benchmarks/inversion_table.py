"""What a picture recovered from weights looks like beside one recovered from predictions, and when nothing is seen.

Every row is one command, run in this process; the report names it. Each has its chance rows, its paired null and its
intervals over messages. Pictures are the first ones of the run, none chosen; faces are not drawn, since the photographs
may not be passed on.

    python benchmarks/inversion_table.py [--faces FOLDER] [--only WORDS] [--runs runs] [--write]

``--write`` puts the table in reports/inversion.md and the pictures in reports/figures. About 8 cpu-minutes, most of
them for batches, for networks with ReLU, and for faces. The budget is wall time, so that a busy machine gets less far.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedprivacy import folder
from fedprivacy.cli.carry_out import placed, ready
from fedprivacy.cli.run import command
from fedprivacy.cli.settings import configuration
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.figures import pictures_figure
from fedprivacy.reporting.pictures import PictureRow, panels
from fedprivacy.study.inversion.findings import GAIN, PSNR
from fedprivacy.study.inversion.reconstructed import BEST, CLASS_MEAN, MEAN, NEAREST, NULL
from fedprivacy.study.run import Plan, execute

REPORTS = Path(__file__).resolve().parents[1] / "reports"
STEP = "--optimizer sgd --lr 0.1 --local-steps 1"
MEANS = {MEAN: "mean", NEAREST: "nearest", CLASS_MEAN: "class mean"}


@dataclass(frozen=True)
class Row:
    """One command: what it shows, and the flags behind ``fedprivacy run --attack inversion``."""

    group: str
    what: str
    flags: str
    rounds: int = 2
    picture: str = ""
    """Name of the figure that its pictures go to; empty: none."""

    @property
    def words(self) -> str:
        """All flags."""
        return f"--attack inversion --rounds {self.rounds} --no-baselines {self.flags}"


def rows(faces: str) -> list[Row]:
    """Every row of the report; those on faces only with a folder of them."""
    one = f"--protocol fedavg {STEP} --batch-size 1"
    found = [
        Row("One step on one record", "mlp", one, picture="weights"),
        Row("One step on one record", "lenet-sigmoid", f"{one} --model lenet-sigmoid"),
        Row("One step on one record", "cnn (ReLU, pooling)", f"{one} --model cnn --messages 5 --budget 60s"),
        Row("One step on one record", "mlp, adam", "--protocol fedavg --local-steps 1 --batch-size 1", picture="adam"),
        Row(
            "One step on a batch",
            "mlp, 4 records",
            f"--protocol fedavg {STEP} --batch-size 4 --messages 5 --budget 60s",
        ),
        Row(
            "One step on a batch",
            "mlp, 8 records",
            f"--protocol fedavg {STEP} --batch-size 8 --messages 5 --budget 90s",
            picture="batch",
        ),
        Row(
            "One step on a batch",
            "lenet-sigmoid, 4 records",
            f"--protocol fedavg {STEP} --model lenet-sigmoid --batch-size 4 --messages 5 --budget 90s",
        ),
        Row(
            "Several local steps",
            "mlp, 1 epoch of single records, about 4",
            "--protocol fedavg --optimizer sgd --lr 0.05 --local-epochs 1 --batch-size 1 --candidates 8 --messages 5 "
            "--budget 60s",
        ),
        Row(
            "Several local steps",
            "mlp, 2 epochs of batches of 2, about 4",
            "--protocol fedavg --optimizer sgd --lr 0.05 --local-epochs 2 --batch-size 2 --candidates 8 --messages 5 "
            "--budget 60s",
        ),
        Row(
            "Several local steps",
            "mlp, the defaults: adam, 2 epochs, about 200",
            "--protocol fedavg",
            picture="classes",
        ),
    ]
    found += [
        Row("Protocols that share weights, one step on one record", name, f"--protocol {name} {STEP} --batch-size 1")
        for name in ("fedprox", "layerwise-async", "fml", "fedkd", "fedasync", "fedbuff")
    ]
    active = f"--protocol fedavg {STEP} --adversary active-server --bins 1024 --model cnn"
    found += [
        Row("A server that sends an imprint layer", "cnn, 8 records", f"{active} --batch-size 8"),
        Row("A server that sends an imprint layer", "cnn, 64 records", f"{active} --batch-size 64", picture="imprint"),
    ]
    found += [
        Row("Protocols that share predictions", name, f"--protocol {name}", 12, picture)
        for name, picture in (("mutual", "predictions"), ("fedmd", ""))
    ]
    guarded = f"{one} --set weighting=uniform"
    found += [
        Row("Defenses, one step on one record", "gradient pruning, 90%", f"{one} --defense gradient-pruning"),
        Row(
            "Defenses, one step on one record",
            "noise of deviation .001 on updates",
            f"{one} --defense gradient-noise --defense-set deviation=0.001 --messages 5",
        ),
        Row(
            "Defenses, one step on one record",
            "noise of deviation .01 on updates",
            f"{one} --defense gradient-noise --defense-set deviation=0.01 --messages 5",
        ),
        Row(
            "Defenses, one step on one record",
            "dp-fedavg, noise multiplier .1",
            f"{guarded} --defense dp-fedavg --sigma 0.1 --messages 5",
        ),
        Row(
            "Defenses, one step on one record",
            "secure aggregation of 5 clients",
            f"{guarded} --defense secure-aggregation --budget 90s",
            5,
        ),
    ]
    if faces:
        data = f"--dataset facemask --data-dir {shlex.quote(faces)} --image-size 32"
        found += [
            Row("Faces, 32x32", "mlp, one record", f"{data} {one}"),
            Row("Faces, 32x32", "lenet-sigmoid, one record", f"{data} {one} --model lenet-sigmoid"),
            Row(
                "Faces, 32x32",
                "gupta-cnn (dropout), one record",
                f"{data} {one} --model gupta-cnn --messages 5 --budget 60s",
                1,
            ),
            Row(
                "Faces, 32x32",
                "mlp, 4 records in one step",
                f"{data} --protocol fedavg {STEP} --batch-size 4 --messages 5 --budget 90s",
            ),
            Row(
                "Faces, 32x32",
                "mlp, 1 epoch of single records, about 4",
                f"{data} --protocol fedavg --optimizer sgd --lr 0.05 --local-epochs 1 --batch-size 1 --candidates 8 "
                "--messages 5 --budget 90s",
            ),
            Row("Faces, 32x32", "mlp, the defaults: adam, 2 epochs, about 200", f"{data} --protocol fedavg"),
            *(
                Row("Faces, 32x32", f"{name}, mlp, one record", f"{data} --protocol {name} {STEP} --batch-size 1")
                for name in ("layerwise-async", "fml", "fedkd")
            ),
            Row("Faces, 32x32", "mutual, predictions", f"{data} --protocol mutual", 12),
        ]
    return found


def ran(row: Row, runs: Path) -> tuple[RunResult, Path]:
    """The result of a row, from an earlier run where there is one, and its folder."""
    given = command.make_context("run", shlex.split(row.words)).params
    config = configuration(given)
    ready(config, 1, "cpu")
    where = placed(config, runs)
    return execute(config, Plan(where, resume=True, baselines=False)), where


def found_in(result: RunResult, metric: str, statistic: str = BEST) -> Finding | None:
    """A finding by metric and row."""
    return next((f for f in result.findings if f.metric == metric and f.statistic == statistic), None)


def number(finding: Finding | None, sign: str = "") -> str:
    """``37.8 [25.4, 50.2]``."""
    if finding is None or finding.value is None:
        return "-"
    ends = "" if finding.low is None else f" [{finding.low:{sign}.1f}, {finding.high:{sign}.1f}]"
    return f"{finding.value:{sign}.1f}{ends}"


def line(place: int, row: Row, result: RunResult) -> str:
    """One row of the table."""
    psnr = found_in(result, PSNR)
    share = found_in(result, "share above 20 dB")
    chance = [f"{MEANS[name]} {number(f).split(' ')[0]}" for name in MEANS if (f := found_in(result, PSNR, name))]
    gains = [found_in(result, GAIN + name) for name in (NEAREST, CLASS_MEAN)]
    above = next((f for f in gains if f is not None), None)
    verdict = next(v.verdict for v in result.verdicts if "look like" in v.claim)
    seen = {"refuted": "leaks", "inconclusive": "nothing beyond a guess"}[verdict]
    told = next((f for f in result.findings if f.metric.startswith("told from") and f.statistic == BEST), None)
    part, known = ("-" if f is None or f.value is None else f"{f.value:.2f}" for f in (share, told))
    if verdict == "inconclusive" and any("recognised" in v.why for v in result.verdicts):
        seen = "recognised, pixels off"
    n = psnr.n if psnr else 0
    cells = [
        f"{place}",
        row.what,
        f"{n}",
        number(psnr),
        ", ".join(chance),
        number(above, "+"),
        number(found_in(result, GAIN + NULL), "+"),
        part,
        known,
        seen,
    ]
    return "| " + " | ".join(cells) + " |"


COLUMNS = (
    "",
    "what",
    "images",
    "PSNR (dB)",
    "public guesses (dB)",
    "over the best guess",
    "over the null",
    "above 20 dB",
    "told from public",
    "verdict",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def table(done: Sequence[tuple[Row, RunResult]]) -> str:
    """All groups, each under its title."""
    parts = []
    for group in dict.fromkeys(row.group for row, _ in done):
        own = [line(place, row, result) for place, (row, result) in enumerate(done, 1) if row.group == group]
        parts.append("\n".join([f"### {group}", HEAD, *own]))
    return "\n\n".join(parts)


def commands(done: Sequence[tuple[Row, RunResult]]) -> str:
    """The command of each row; the folder of faces under a neutral name."""
    lines = []
    for place, (row, _) in enumerate(done, 1):
        words = shlex.split(row.words)
        shown = ["DIR" if before == "--data-dir" else word for before, word in zip(["", *words], words, strict=False)]
        lines.append(f"{place}. `fedprivacy run {' '.join(shown)}`")
    return "\n".join(lines)


def pictures(done: Sequence[tuple[Row, Path]], where: Path) -> None:
    """The figures of the report, six columns each; weights and predictions of the same classes in one."""
    of = {row.picture: next(panels(path)) for row, path in done if row.picture}
    for name, panel in of.items():
        if name not in ("weights", "predictions"):
            cut = [PictureRow(r.name, r.images[:6], None if r.psnr is None else r.psnr[:6]) for r in panel.rows]
            folder.write_bytes(where / f"inversion-{name}.png", pictures_figure(cut, panel.title))
    if {"weights", "predictions"} <= set(of):
        path = next(path for row, path in done if row.picture == "weights")
        labels = folder.read_arrays(path / "pictures" / "server.safetensors")[0]["labels"]
        first = np.array([int(np.flatnonzero(labels == c)[0]) for c in dict.fromkeys(labels.tolist())])[:6]
        joined = [_picked(of["weights"].rows[i], first, w) for i, w in ((0, "a record"), (1, "from weights"))]
        words = ((0, "its class, mean"), (1, "from predictions"), (2, "public mean\nof the class"))
        joined += [_picked(of["predictions"].rows[i], labels[first], w) for i, w in words]
        drawn = pictures_figure(joined, "FedAvg, one step on one record, and mutual learning, 12 rounds")
        folder.write_bytes(where / "inversion-weights-beside-predictions.png", drawn)


def _picked(row: PictureRow, columns: np.ndarray, name: str) -> PictureRow:
    return PictureRow(name, row.images[columns], None if row.psnr is None else row.psnr[columns])


def main() -> None:
    """Run all rows and print the table; with --write renew the report's numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faces", default="", help="folder of the face-mask pictures")
    parser.add_argument("--only", default="", help="rows whose group or name holds these words")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    done: list[tuple[Row, RunResult]] = []
    places: list[tuple[Row, Path]] = []
    start = time.process_time()
    for row in rows(options.faces):
        if options.only in f"{row.group}: {row.what}":
            result, where = ran(row, options.runs)
            done.append((row, result))
            places.append((row, where))
            print(line(len(done), row, result), f"{result.provenance.cpu_seconds:.0f} cpu-s", flush=True)
    print(f"{time.process_time() - start:.0f} cpu-s in this process")
    if options.write:
        pictures(places, REPORTS / "figures")
        page = REPORTS / "inversion.md"
        before, _, rest = page.read_text().partition("<!-- table -->\n")
        after = rest.partition("<!-- end of table -->\n")[2]
        body = f"{table(done)}\n\n## Commands\n{commands(done)}\n"
        folder.write_text(page, f"{before}<!-- table -->\n{body}<!-- end of table -->\n{after}")


if __name__ == "__main__":
    main()
