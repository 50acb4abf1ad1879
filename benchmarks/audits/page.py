"""Audits of differentially private claims: false accounting of three kinds, and honest mechanisms beside it.

python benchmarks/audits/page.py --cache audits-cache --out false.md
python benchmarks/audits/page.py --only teacher --share 0.1
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

import torch

HEAD = """# Audits: what is claimed, and what an attack refutes

Three ways to print an epsilon that is false, each run on purpose and measured, and the honest mechanisms under the
same audits. The library does none of the three; they live in `benchmarks/audits/`.

- **Distillation from a private teacher that is trained without noise** (federated mutual learning with a private
  proxy): a claim of 4 refuted on digits with nothing chosen but one wrong label, in the first draw of records (other
  draws move less; a small clip bound makes up for that), and claims of 1 and 4 on chosen records.
- **Rows of a prediction matrix clipped one by one**, noise as if that bounded the matrix: claims of 1 and 4 refuted on
  the path of mutual learning, by an active server that repeats its canaries.
- **Private and public rows in one graph** under Opacus: a silent success; one record moves the sum by several clip
  bounds on digits, which refutes a claim of 1 in the draw that moves most, and by nearly the batch on chosen records.
- **Honest** noise on matrices and honest DP-SGD: no bound above the claim in 20 seeds of each of 15 settings.

Regenerate: `python benchmarks/audits/page.py --cache audits-cache --out false.md`; one part alone by `--only`.

## How to read it

Unit: one record, added or removed; delta 1e-5. Noise comes from named seeds: measurement only. Each lower bound is one
at 95% after a Bonferroni correction over the rows of its table and over two kinds of bound; **bold**: above the claim.

- *one run*: Steinke, Nasr, Jagielski 2023 (arXiv 2305.08846). Assumes nothing on the mechanism. A fifth of the coins is
  guessed, a number fixed beforehand.
- *Clopper-Pearson*: all thresholds at once. Needs independent coins and scores, which many runs are; in one federation
  it is an assumption.
- *ceiling*: what a perfect attack would have got in *one run*. A claim above it could not have been refuted; a bound
  of 0 is no evidence of privacy.
- *Gaussian DP (apart)*: true where the trade-off curve is Gaussian, so it decides nothing here.
"""

TEACHER = """## A teacher without noise

The shared model of a client is trained under DP-SGD, clipped record by record, and learns from the labels of the
private records and by KL from the client's private model, which is trained on the same records without noise (Shen et
al. 2020, arXiv 2006.16765; with a private proxy: Kalra et al. 2023, arXiv 2111.11343). The usual claim: one record
moves the clipped sum of a step by one clip bound at most. But it also moves the teacher, and thereby the gradient of
every other record. `fml` refuses dp-sgd for this reason.

Command: `python benchmarks/audits/page.py --only teacher`. Both tables are about one step: how far the
clipped sum moves when a mislabelled digit joins, teacher included, in clip bounds. Mean and largest over five draws of
records, each with teachers of 50 and of 300 steps. *Untrained*: a shared model that starts at zero. *Agreeing*: one
that was fitted to the teacher of the records without the canary; its gradients are small, and all of them turn when
the teacher moves. A gradient beyond the clip bound counts as a whole bound however small it is, so a smaller bound
makes it worse, and in the worst case every record adds up to two bounds. The second table is such a case: all records
are one number, and the canary breaks a tie.
"""

RUNS = """Whole runs: 100 rounds, in each one step of the private model (64-32-10) and one private step of the shared
linear model, on 200 digits and one mislabelled canary; the server sees every upload. It knows all but the coin and the
noise, as differential privacy allows, and scores a run by the likelihood ratio. *Shift*: root mean square over rounds
of how far the sum moves; 1 is what the claim assumes. *Epsilon of that shift*: what Gaussian noise of that size really
gives. Nothing but the wrong label is chosen; the records are the first draw, and a line below the table says how others
do. With KL alone no label enters the shared model but through the teacher. Where no bound is bold the audit was too
weak (a claim above the ceiling could not fall); the shift says what the mechanism does.

What holds: no teacher, one that knows public records alone, or one that is trained privately and paid for, whose own
noisy sums the adversary then sees too. What does not: the KL on public records alone, towards a teacher that knows the
private ones without noise. What that teacher says of public records is a release of its own, and no noise covers it.
"""

ROWS = """## Rows clipped one by one

One record may change every row of a prediction matrix. Rows of norm c leave a sensitivity of 2 c sqrt(rows); the false
claim takes 2 c. Path: mnist5k, mutual learning, private phase of 40 epochs, an active server that puts copies of its
canaries into the public fold, the defense, the encoder, and an eavesdropper who decodes what client 0 sent. The printed
epsilon is that of the accountant, for what the defense says of itself. One row of a canary alone does not exceed the
claim; many rows that move together do, and nothing in the accounting forbids them.

Command: `python benchmarks/audits/page.py --only rows`. First, one federation whose client 0 trains on mislabelled
canaries, each with its own coin. Second, one canary among 100 records and many runs; training is the same in all runs
but for the canary, so that noise alone is random, and the score is the projection on the line between both worlds.
"""

GRAPH = """## Private and public rows in one graph

Loss on private rows plus loss on public rows, one backward pass, one step of Opacus: it keeps one gradient a row and
adds those of the two passes row by row. 8 private and 30 public rows give 30 rows, each clipped as one, and `step()`
succeeds. A private row is clipped together with a public one, so removing it moves its row by up to 2 bounds; and all
later private rows move up and meet other public rows. The accountant still counts one bound.

Command: `python benchmarks/audits/page.py --only graph`. How far the clipped sum moves, in clip bounds, mean and
largest over 20 draws of digits, and on chosen numbers. *Two steps*: what the library does, a private step on private
rows and then a public one.
"""

HONEST = """## Honest mechanisms

Command: `python benchmarks/audits/page.py --only honest`. Mean and largest bound over the seeds; both bounds of a seed
hold together at 95%. The assumption of the Gaussian column is true of the first two mechanisms; in the second the
attack is the best there is and its curve is the claimed one, so the distance of that column to the claim is what a
finite number of runs leaves open. A claim above its ceiling could not have been refuted here: that of 8, and that of 4
in the third.
"""

PARTS = {
    "teacher": ((TEACHER, "teacher_step"), (RUNS, "teacher_runs")),
    "rows": ((ROWS, "rows"),),
    "graph": ((GRAPH, "merged"),),
    "honest": ((HONEST, "honest"),),
}


def tables(file: str, share: float, draws: int, cache: Path | None) -> str:
    """The tables of one file with their cost; taken from ``cache`` where they are."""
    stored = cache / f"{file}.md" if cache else None
    if stored is not None and stored.exists():
        return stored.read_text()
    began = time.process_time()
    lines = importlib.import_module(file).section(share, draws)
    text = "\n".join([*lines, "", f"{time.process_time() - began:.0f} CPU seconds.", ""])
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=list(PARTS), help="one part of the page")
    parser.add_argument("--share", type=float, default=1.0, help="part of the runs, for a quick look")
    parser.add_argument("--draws", type=int, default=5, help="draws of records where a table averages over them")
    parser.add_argument("--cache", type=Path, help="folder of finished tables; those are not computed again")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    page = [] if options.only else [HEAD]
    for name, parts in PARTS.items():
        if options.only in (None, name):
            for words, file in parts:
                page += [words, tables(file, options.share, options.draws, options.cache)]
    text = "\n".join(page)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
