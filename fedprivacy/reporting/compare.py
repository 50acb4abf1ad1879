"""Several runs side by side: utility, bytes and epsilon, then what each seat learns, one table a seat and knowledge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from fedprivacy.judge import comparison, differences
from fedprivacy.judge.result import Finding, PrivacyClaim, RunResult, Verdict, main_metric
from fedprivacy.reporting.document import (
    Block,
    Cell,
    Column,
    Document,
    Footnotes,
    Layouts,
    Line,
    Section,
    Table,
    cell,
    row,
)
from fedprivacy.reporting.findings import metric_key, metric_name
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.sections import beside, several
from fedprivacy.reporting.sections.chance_table import chance_table
from fedprivacy.reporting.sections.rate_table import CHANCE
from fedprivacy.reporting.sections.traffic import fedavg_ratio
from fedprivacy.reporting.sections.utility import mean_of
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.settings import level, run_name, setting
from fedprivacy.reporting.terminal import render_document
from fedprivacy.reporting.text import MISSING, clean, counted, epsilon, fixed, listed, plain, scientific, sizes, times
from fedprivacy.reporting.text import level as level_words

RATES = ("auc", "tpr@10%fpr", "tpr@1%fpr")
SHARED_SETTINGS: Mapping[str, str] = {
    "dataset": "data.dataset",
    "candidates": "data.candidates",
    "inclusion": "data.inclusion",
    "partition": "data.partition",
    "clients": "clients",
    "rounds": "rounds",
    "model": "training.model",
    "first seed": "seed",
    "repetitions": "seeds",
    "shadows": "attack.shadows",
    "effort": "attack.effort",
}


def render_comparison(
    results: Sequence[RunResult], console: Console, labels: Sequence[str] | None = None, judged: bool = True
) -> None:
    """Print several runs side by side; ``labels`` name them, by default protocol and defense."""
    render_document(side_by_side(results, labels, judged), console)


def comparison_to_markdown(
    results: Sequence[RunResult], labels: Sequence[str] | None = None, judged: bool = True
) -> str:
    """What :func:`render_comparison` prints, as Markdown."""
    return document_to_markdown(side_by_side(results, labels, judged))


def side_by_side(results: Sequence[RunResult], labels: Sequence[str] | None = None, judged: bool = True) -> Document:
    """The comparison as a document; ``judged``: with a verdict on each run against the first.

    Raises ValueError without a result or with the wrong number of labels.
    """
    if not results:
        raise ValueError("a comparison needs at least one result")
    names = run_labels(results) if labels is None else [clean(label) for label in labels]
    if len(names) != len(results):
        raise ValueError(f"{len(results)} results need as many labels, got {len(names)}")
    title = f"{counted(len(results), 'run')} side by side"
    if not judged:
        defenses = dict.fromkeys(name.rpartition(", ")[0] for name in names if ", " in name)
        title += f": {listed(defenses)}" if defenses else ""
        names = [name.removeprefix(f"{defense}, ") for name in names for defense in [name.rpartition(", ")[0]]]
    blocks: list[Block] = [_shapes(results, names), *_leaks(results, names)]
    blocks += beside.tables(results, names)
    blocks += _claims(results)
    blocks += [Line(words, "warn") for words in _differences(results)]
    section = Section(title, tuple(blocks))
    lines = tuple(_verdicts(results, names)) if judged else ()
    sections = (*((Section("Held against the first", lines),) if lines else ()), section)
    banner = several.compared(results, names) if judged else several.swept(results)
    return Document("fedprivacy: comparison" if judged else "fedprivacy: sweep", sections, banner)


def run_labels(results: Sequence[RunResult]) -> list[str]:
    """Protocol, defense and known share of each run, numbered where two would read the same."""
    names = [run_name(result) + _share(result) for result in results]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _share(result: RunResult) -> str:
    share = setting(result.config, "attack.known_share")
    return "" if share in (None, 1) else f", {100 * share:.3g}% known"


def _shapes(results: Sequence[RunResult], names: Sequence[str]) -> Layouts:
    """Utility, bytes and epsilon: a row a run, or a column a run."""
    metric = main_metric(*(result.utility for result in results)) or None
    facts = [*([metric_name(metric)] if metric else []), "bytes", "public", "vs FedAvg", "epsilon"]
    wires = [result.communication for result in results]
    sent, public = sizes([w.up_bytes + w.down_bytes for w in wires]), sizes([w.public_bytes for w in wires])
    runs = [_facts(result, metric, *bytes_) for result, *bytes_ in zip(results, sent, public, strict=True)]
    caption = f"Mean with {_levels(results)} interval; bytes: up and down, public: delivery of public records"
    by_run = [row([cell(name, tone="strong"), *facts]) for name, facts in zip(names, runs, strict=True)]
    by_fact = [row([name, *(run[place] for run in runs)]) for place, name in enumerate(facts)]
    wide = (Column("run", fold=True), *(Column(fact) for fact in facts))
    turned = (Column("measure", fold=True), *(Column(name) for name in names))
    return Layouts(((Table(wide, tuple(by_run), caption),), (Table(turned, tuple(by_fact), caption),)))


def verdicts_of(results: Sequence[RunResult], names: Sequence[str]) -> list[Verdict]:
    """Each run against the first: in utility, in what each seat learns at equal power and knowledge, in bytes."""
    runs = list(zip(names, results, strict=True))
    leaks = [verdict for table in comparison.tables(results, names) for verdict in comparison.verdicts(table)]
    return [*differences.utility(runs), *leaks, *differences.traffic(runs)]


def _verdicts(results: Sequence[RunResult], names: Sequence[str]) -> Iterator[Line]:
    """The verdicts, and what other attacks learned, a line each."""
    yield from (verdict_line(replace(verdict, source="")) for verdict in verdicts_of(results, names))
    yield from beside.outcomes(results, names)


def _leaks(results: Sequence[RunResult], names: Sequence[str]) -> Iterator[Block]:
    """A table a seat and knowledge, and what cannot be compared."""
    for table in comparison.tables(results, names):
        known = f", which knows {clean(table.knowledge)}" if table.knowledge else ""
        caption = f"Membership: what the {clean(table.seat)} learns{known}"
        marks = Footnotes()
        rows = [named for standing in table.rows for named in _named(standing, marks)]
        title = Column("run (its accuracy)", fold=True, under=CHANCE)
        yield from filter(None, (chance_table(rows, title, caption, marks, always=True),))
    yield from (Line(clean(words), "quiet") for words in comparison.unequal(results, names))


def _named(standing: comparison.Standing, marks: Footnotes) -> Iterator[tuple[Cell, Mapping[str, Finding]]]:
    """The declared headline and the accuracy it stands at; under it all signals stacked, where they were."""
    used = standing.result.utility.get(main_metric(standing.result.utility))
    cost = f" ({fixed(100 * used.mean, 1)}%)" if used else ""
    for found in (standing.headline, standing.stack):
        rates = {metric_key(metric): finding for metric, finding in found.items() if metric_key(metric) in RATES}
        if rates:
            first = next(iter(rates.values()))
            how = f"{clean(first.statistic)} on {clean(first.observation)}"
            yield cell(f"{clean(standing.run)}{cost} {marks.mark(how)}", tone="strong"), rates


def _facts(result: RunResult, metric: str | None, sent: str, public: str) -> list[str | Cell]:
    """Utility, bytes and epsilon of one run, the last with its delta and unit."""
    ratio = fedavg_ratio(result.communication)
    words = MISSING
    if ratio is not None:
        words = f"{times(ratio)} x fewer" if ratio >= 1 else f"{times(1 / ratio)} x more"
        words = "as many" if 0.995 < ratio < 1.005 else words
    utility = result.utility.get(metric) if metric else None
    mean = mean_of(utility)
    return [*([mean] if metric else []), sent, public, words, _claimed(result.privacy)]


def _claimed(claim: PrivacyClaim) -> Cell:
    """Epsilon with its delta and unit; infinite has neither."""
    if claim.epsilon is None:
        return cell(epsilon(None))
    return cell(epsilon(claim.epsilon), f"delta {scientific(claim.delta)}", clean(claim.unit) or "unit not stated")


def _claims(results: Sequence[RunResult]) -> Iterator[Line]:
    """What the finite epsilons of the table are about, whether they may be compared, and what they are worth."""
    finite = [result.privacy for result in results if result.privacy.epsilon is not None]
    if not finite:
        return
    about = list(dict.fromkeys((clean(c.unit), clean(c.relation), clean(c.adversary)) for c in finite))
    words = [f"for one {unit or '(unit not stated)'} ({relation}), view: {view}" for unit, relation, view in about]
    yield Line(f"Epsilon is an upper bound {listed(words)}.")
    if len(about) > 1:
        yield Line("The runs differ in what their epsilon is about: equal figures are not equal protection.", "warn")
    if any(claim.vacuous for claim in finite):
        yield Line("Vacuous: delta is one over the records of a client, or more.", "bad")
    if any(claim.seeded for claim in finite):
        yield Line("Seeded noise: measurement only, no guarantee.", "warn")


def _levels(results: Sequence[RunResult]) -> str:
    return " and ".join(dict.fromkeys(level_words(level(result)) for result in results))


def _differences(results: Sequence[RunResult]) -> Iterator[str]:
    """One line for each setting in which the runs differ although a fair comparison holds it equal."""
    for name, path in SHARED_SETTINGS.items():
        values = list(dict.fromkeys(plain(setting(result.config, path)) for result in results))
        if len(values) > 1:
            yield f"The runs differ in {name} ({listed(values)}): a difference between them may come from that."
