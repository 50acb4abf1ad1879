"""Several runs side by side: utility, bytes, epsilon, and leakage to each adversary with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from fedprivacy.judge.result import Finding, PrivacyClaim, RunResult
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
from fedprivacy.reporting.findings import (
    groups,
    headline_statistics,
    is_rate,
    main_target,
    metric_key,
    metric_name,
    of_statistic,
)
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.sections.inversion import compared
from fedprivacy.reporting.sections.rate_table import marked_value
from fedprivacy.reporting.sections.traffic import fedavg_ratio
from fedprivacy.reporting.sections.utility import mean_of
from fedprivacy.reporting.settings import level, run_name, setting
from fedprivacy.reporting.terminal import render_document
from fedprivacy.reporting.text import (
    MISSING,
    chance_level,
    clean,
    counted,
    epsilon,
    fixed,
    listed,
    scientific,
    size,
    times,
)
from fedprivacy.reporting.text import level as level_words

RATES = ("auc", "tpr@1%fpr")
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
}


def render_comparison(results: Sequence[RunResult], console: Console, labels: Sequence[str] | None = None) -> None:
    """Print one table for several runs; ``labels`` name them, by default protocol and defense."""
    render_document(comparison(results, labels), console)


def comparison_to_markdown(results: Sequence[RunResult], labels: Sequence[str] | None = None) -> str:
    """The table of :func:`render_comparison` as Markdown."""
    return document_to_markdown(comparison(results, labels))


def comparison(results: Sequence[RunResult], labels: Sequence[str] | None = None) -> Document:
    """The comparison as a document. Raises ValueError without a result or with the wrong number of labels."""
    if not results:
        raise ValueError("a comparison needs at least one result")
    names = run_labels(results) if labels is None else [clean(label) for label in labels]
    if len(names) != len(results):
        raise ValueError(f"{len(results)} results need as many labels, got {len(names)}")
    blocks: list[Block] = [_shapes(results, names)]
    blocks += compared(results, names)
    blocks += _claims(results)
    blocks += [Line(words, "warn") for words in _differences(results)]
    return Document("fedprivacy: comparison", (Section(f"{counted(len(results), 'run')} side by side", tuple(blocks)),))


def run_labels(results: Sequence[RunResult]) -> list[str]:
    """Protocol and defense of each run, numbered where two would read the same."""
    names = [run_name(result) for result in results]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _shapes(results: Sequence[RunResult], names: Sequence[str]) -> Layouts:
    """A row a run; a column a run; or one table of utility and bytes and one of leakage, a row a run and measure."""
    adversaries = dict.fromkeys(f.adversary for r in results for f in r.findings if is_rate(f.metric))
    metric = next((name for result in results for name in result.utility), None)
    facts = [*([metric_name(metric)] if metric else []), "bytes", "public", "vs FedAvg", "epsilon"]
    runs = [_facts(result, metric) for result in results]
    marks = Footnotes()
    leaks = {
        (adversary, rate): [_leakage(result, adversary, rate, marks) for result in results]
        for adversary in adversaries
        for rate in RATES
    }
    titles = [f"{clean(adversary)}: {metric_name(rate)}" for adversary, rate in leaks]
    words = "bytes: up and down, public: delivery of public records; leakage: headline statistic"
    caption = f"Mean with {_levels(results)} interval; {words}"
    strong = [cell(name, tone="strong") for name in names]

    by_run = [row([name, *runs[i], *(found[i] for found in leaks.values())]) for i, name in enumerate(strong)]
    wide = (Column("run", fold=True), *(Column(title) for title in (*facts, *titles)))
    by_measure = [row([name, *(run[place] for run in runs)]) for place, name in enumerate(facts)]
    by_measure += [row([cell(metric_name(rate), clean(a)), *found]) for (a, rate), found in leaks.items()]
    turned = (Column("measure", fold=True), *(Column(name) for name in names))
    short = (Column("run", fold=True), *(Column(fact) for fact in facts))
    lines = []
    for (adversary, rate), found in leaks.items():
        what = [cell(metric_name(rate), clean(adversary)), *[cell("")] * (len(found) - 1)]
        lines += [row(cells) for cells in zip(what, strong, found, strict=True)]
    long = (Column("measure", fold=True), Column("run", fold=True), Column("value"))
    notes = marks.lines()
    return Layouts(
        (
            (Table(wide, tuple(by_run), caption, notes),),
            (Table(turned, tuple(by_measure), caption, notes),),
            (
                Table(short, tuple(row([name, *runs[i]]) for i, name in enumerate(strong)), caption),
                *((Table(long, tuple(lines), "Leakage", notes),) if lines else ()),
            ),
        )
    )


def _facts(result: RunResult, metric: str | None) -> list[str | Cell]:
    """Utility, bytes and epsilon of one run, the last with its delta and unit."""
    wire = result.communication
    ratio = fedavg_ratio(wire)
    words = MISSING
    if ratio is not None:
        words = f"{times(ratio)} x fewer" if ratio >= 1 else f"{times(1 / ratio)} x more"
        words = "as many" if 0.995 < ratio < 1.005 else words
    utility = result.utility.get(metric) if metric else None
    mean = mean_of(utility)
    sent = [size(wire.up_bytes + wire.down_bytes), size(wire.public_bytes)]
    return [*([mean] if metric else []), *sent, words, _claimed(result.privacy)]


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


def _leakage(result: RunResult, adversary: str, metric: str, marks: Footnotes) -> Cell:
    """The headline statistic of each observation of ``adversary``: value, chance, and what was observed."""
    lines: list[str] = []
    for group in groups(f for f in result.findings if is_rate(f.metric) and f.adversary == adversary):
        statistics = headline_statistics(group.findings)
        if not statistics:
            lines += [f"{MISSING} {marks.mark('no headline statistic was declared')}"]
        for statistic in statistics:
            same = [f for f in group.findings if f.statistic == statistic]
            lines += [*_number(same, statistic, metric, marks), clean(group.observation)]
    return cell(*(lines or [f"{MISSING} {marks.mark('this adversary was not run against it')}"]))


def _number(findings: Sequence[Finding], statistic: str, metric: str, marks: Footnotes) -> list[str]:
    """The value about all clients with its chance, or the range over clients where only those were stored."""
    target = main_target(findings)
    if target is None:
        values = [f.value for f in findings if metric_key(f.metric) == metric and f.value is not None]
        words = f"{fixed(min(values), 2)} to {fixed(max(values), 2)}" if values else MISSING
        return [f"{words} {marks.mark('lowest to highest client; no pooled number was stored')}"]
    finding = of_statistic(findings, statistic, target).get(metric)
    if finding is None:
        return [f"{MISSING} {marks.mark('not stored')}"]
    words = marked_value(finding, marks).lines[0]
    if finding.value is None:
        return [words]
    words += f" {marks.mark('few false positives allowed: no verdict rests on it')}" if finding.flag == "few" else ""
    chance = chance_level(finding.chance, finding.chance_low, finding.chance_high)
    return [words, *([] if finding.chance is None else [f"chance {chance}"])]


def _levels(results: Sequence[RunResult]) -> str:
    return " and ".join(dict.fromkeys(level_words(level(result)) for result in results))


def _differences(results: Sequence[RunResult]) -> Iterator[str]:
    """One line for each setting in which the runs differ although a fair comparison holds it equal."""
    for name, path in SHARED_SETTINGS.items():
        values = list(dict.fromkeys(clean(setting(result.config, path)) for result in results))
        if len(values) > 1:
            yield f"The runs differ in {name} ({listed(values)}): a difference between them may come from that."
