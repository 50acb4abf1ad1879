"""The short report: verdict, strength and certainty on the first screen, four rows an adversary, words whole."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fedprivacy.adversary.effort import FIGURES, FORETOLD, THOROUGH
from fedprivacy.judge.result import Audit, AuditRow, Finding, RunResult, Verdict
from fedprivacy.reporting.brief import New, brief
from fedprivacy.reporting.document import Column, Document, Facts, Layouts, Line, Section, Table, cell, row
from fedprivacy.reporting.report import report
from fedprivacy.reporting.sections.banner import banner
from fedprivacy.reporting.terminal import render, render_document
from fedprivacy.reporting.widths import needed

Results = Mapping[str, Callable[[], RunResult]]


def printed(result: RunResult, width: int = 80, new: New = "run") -> str:
    file = io.StringIO()
    render(result, Console(file=file, width=width), new=new)
    return file.getvalue()


def drawn(document: Document, width: int = 80) -> str:
    file = io.StringIO()
    render_document(document, Console(file=file, width=width))
    return file.getvalue()


def joined(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture
def usual(results: Results, make: SimpleNamespace) -> RunResult:
    """Two adversaries with a headline, a stronger statistic, the loss and a control."""
    findings = []
    for adversary, headline in (("server (active)", 0.78), ("server (honest-but-curious)", 0.504)):
        who = {"adversary": adversary}
        findings += make.rates("joint", headline, 0.41 if headline > 0.6 else 0.1, 0.12, headline=True, **who)
        findings += make.rates("stack", 0.81, 0.5, 0.2, observation="all that it received", **who)
        findings += make.rates("loss", 0.62, 0.2, 0.03, **who) + make.rates("ratio", 0.7, 0.2, 0.03, **who)
        findings += make.rates("null (shuffled coins)", 0.5, 0.1, 0.01, **who)
    return replace(results["ordinary"](), findings=tuple(findings))


def graded(result: RunResult, figures: Mapping[tuple[str, str], float]) -> RunResult:
    """``result`` with figures of effort, by adversary and name."""
    found = [f for f in result.findings if f.headline and f.metric == "AUC"]
    told = [
        replace(one, statistic="what was done", metric=name, value=value, chance=None, headline=False)
        for one in found
        for (who, name), value in figures.items()
        if one.adversary == who
    ]
    return replace(result, findings=(*result.findings, *told))


def test_a_default_effort_says_what_a_thorough_one_costs_and_could_add(usual: RunResult) -> None:
    costs = {("server (active)", THOROUGH): 4.512, ("server (honest-but-curious)", THOROUGH): 3.7}
    screen = joined(printed(graded(usual, costs)))
    start = "The attacks made a default effort; --effort thorough multiplies the work of decoding by about"
    assert f"{start} 4.5 (server (active)) and 3.7 (server (honest-but-curious))." in screen
    assert "What that adds is not known before it is run, at most 0.496 of AUC." in screen
    foretold = graded(usual, {**costs, ("server (active)", FORETOLD): 0.9956})
    assert "; the simulations foretell 0.996 of this effort." in joined(printed(foretold))
    assert not any(name in printed(foretold) + drawn(report(foretold)) for name in FIGURES)
    assert "effort" not in joined(printed(usual)), "no attack of it has a thorough grade"
    config = {**usual.config, "attack": {**usual.config["attack"], "effort": "thorough"}}
    assert "default effort" not in joined(printed(replace(graded(usual, costs), config=config)))


def test_verdict_strength_and_certainty_are_on_the_first_screen(usual: RunResult) -> None:
    screen = joined("\n".join(printed(usual).splitlines()[:24]))
    for words in (
        "server (active): membership leaks: AUC 0.780 [0.76, 0.80]; without leakage 0.500 [0.47, 0.53]",
        "Wrong about 10% of the non-members, it recognises 41%",
        "server (honest-but-curious): no leakage measured (this is no proof of privacy): AUC 0.504 [0.48, 0.53]",
        "the highest AUC of 4 attacks is 0.810 [0.79, 0.83] (stack on all that it received). It was picked afterwards",
        "Intervals: 95%, over the records and clients of seed 0 alone; another seed may differ.",
        "test accuracy 0.8590 [0.851, 0.867]; +0.0520 [+0.050, +0.054] against local",
        "one seed decides nothing",
        "bytes 1.58 MB up and down. FedAvg of the same model sends 48.8 MB: mutual sends 31 times fewer bytes",
    ):
        assert words in screen, words
    assert "epsilon infinite: no differential privacy is claimed (predictions leave without noise)" in joined(
        printed(usual)
    )


def test_four_rows_an_adversary_with_chance_in_the_header(usual: RunResult) -> None:
    lines = printed(usual).splitlines()
    assert len(lines) <= 60
    for place in (i for i, line in enumerate(lines) if line.startswith("attack ")):
        assert lines[place].split("  ")[0] == "attack" and "TPR at 10% FPR" in lines[place]
        assert lines[place + 1].startswith("chance") and "0.500 [0.47, 0.53]" in lines[place + 1]
        rows = lines[place + 3 : place + 7]
        names = [line.split("  ")[0] for line in rows]
        assert names == ["headline: joint", "strongest here,", "highest: stack", "loss"]
        assert lines[place + 7].startswith("null")
        assert "ratio" not in "".join(lines[place:])
    assert sum(line.startswith("attack ") for line in lines) == 2


def test_the_headline_that_is_strongest_has_one_row(usual: RunResult) -> None:
    alone = [f for f in usual.findings if f.statistic != "stack" and f.adversary == "server (active)"]
    text = joined(printed(replace(usual, findings=tuple(alone))))
    assert "headline, 0.780" in text and "highest: joint" in text
    assert "the highest AUC of" not in text.partition("How strong")[0]


def test_the_strongest_attack_here_is_the_stack_beside_the_headline(usual: RunResult) -> None:
    here = "the strongest attack here, all signals stacked: AUC 0.810 [0.79, 0.83]; without leakage 0.500 [0.47, 0.53]"
    text = joined(drawn(report(usual)))
    assert f"server (active): {here}; not measurably apart from the headline's 0.780 [0.76, 0.80]." in text
    assert f"server (honest-but-curious): {here}; above the headline's 0.504 [0.48, 0.53]." in text
    assert "strongest here: all signals stacked, learned on others' coins" in joined(printed(usual))
    better = [replace(f, value=0.9, low=0.88, high=0.92) if f.headline else f for f in usual.findings]
    text = joined(drawn(report(replace(usual, findings=tuple(better)))))
    assert f"{here}; below the headline's 0.900 [0.88, 0.92], which is the stronger of the two" in text


def test_without_a_stack_the_headline_is_the_strongest_that_was_declared(usual: RunResult) -> None:
    alone = replace(usual, findings=tuple(f for f in usual.findings if f.statistic != "stack"))
    text = joined(drawn(report(alone)))
    assert "so the headline is the strongest attack that was declared here" in text
    assert "nothing was stacked, so it is the strongest declared here" in joined(printed(alone))
    scores = replace(alone, config={"scores": "scores.npz"})
    assert "No signals were stacked" not in joined(drawn(report(scores)))


def test_a_headline_that_failed_is_not_the_strongest_attack(usual: RunResult, make: SimpleNamespace) -> None:
    rest = [f for f in usual.findings if f.statistic != "stack"]
    failed = make.failed("all statistics", "no rule for this layer", headline=True, observation="joint updates")
    who = failed.adversary
    others = [replace(f, headline=False) for f in rest if f.adversary == who]
    best = max((f for f in others if f.metric == "AUC" and f.target == "all clients"), key=lambda f: f.value or 0.0)
    told = f"{who}: the declared headline failed; of "
    mixed = replace(usual, findings=(failed, *others, *(f for f in rest if f.adversary != who)))
    for text in (joined(drawn(report(mixed))), joined(printed(mixed))):
        line = text.partition(told)[2].partition("It was picked afterwards, so it decides nothing.")[0]
        assert f"the highest reads AUC {best.value:.3f}" in line and best.statistic in line
        assert "no rule for this layer" in text and "so there is no verdict" in text
        assert "so the headline is the strongest attack that was declared here" not in text
        assert "it is the strongest declared here" not in text
    assert "so a headline that gave a number is the strongest attack that was declared at its seat" in joined(
        drawn(report(mixed))
    )
    alone = replace(mixed, findings=(failed, *others))
    assert "No signals were stacked (--shadows 8 --effort thorough does)." in joined(drawn(report(alone)))
    nothing = replace(mixed, findings=(failed,))
    for text in (joined(drawn(report(nothing))), joined(printed(nothing))):
        assert f"{who}: the declared headline failed, and no other attack gave a number." in text


def test_a_declared_stack_without_a_number_is_told_with_its_cause(usual: RunResult, make: SimpleNamespace) -> None:
    who = {"adversary": "server (active)", "observation": "all that it received"}
    others = [f for f in usual.findings if f.statistic != "stack"]
    broken = replace(usual, findings=(*others, make.failed("stack", "the known coins lie on one side", **who)))
    told = (
        "server (active): all signals were to be stacked, but the stack gave no number: the known coins lie on one "
        "side. So the headline is the strongest attack that was declared here and has a number."
    )
    for text in (joined(drawn(report(broken))), joined(printed(broken))):
        assert text.count(told) == 1
        assert "No signals were stacked" not in text and "nothing was stacked" not in text
    # Beside a stack that has its number the one that has none is told all the same.
    mine = [f for f in usual.findings if f.statistic != "stack" or f.adversary != "server (active)"]
    both = replace(usual, findings=(*mine, make.failed("stack", "the known coins lie on one side", **who)))
    for text in (joined(drawn(report(both))), joined(printed(both))):
        assert told in text and "all signals stacked" in text
    # As the headline it is told as any other that failed, once.
    alone = [replace(f, headline=False) for f in others]
    headline = make.failed("stack", "the known coins lie on one side", headline=True, **who)
    text = joined(drawn(report(replace(usual, findings=(*alone, headline)))))
    assert "were to be stacked" not in text and "No signals were stacked" not in text
    assert "failed" in text and "the known coins lie on one side" in text


def test_what_is_below_resolution_is_no_column(results: Results) -> None:
    assert "0.1%" not in printed(results["ordinary"]()).partition("How strong")[2]
    text = printed(results["all_below"]())
    assert "too few records for a verdict" in joined(text) and "How strong" not in text


def test_an_attack_again_prints_only_what_was_learned(usual: RunResult) -> None:
    text = printed(usual, new="attack")
    assert "What each adversary learned" in text and "Accuracy, bytes, epsilon" not in text


def test_an_audit_prints_its_verdict_first_and_nothing_of_the_run(usual: RunResult) -> None:
    bound = AuditRow("server", "updates", "joint", "one run", "nothing", 1.06, 3.45, "m=1500, r=125, v=103", True)
    audit = Audit("record", "add-remove", "records as they are", 1500, 1, 4.0, 1e-5, 0.95, (bound,))
    judged = Verdict("One record has epsilon 4", "PLD", "not refuted", "1.06 was measured")
    text = printed(replace(usual, audit=audit, verdicts=(judged,)), new="audit")
    assert text.splitlines()[3].startswith("- NOT REFUTED: One record has epsilon 4")
    assert "1.06" in text and "Accuracy" not in text and "learned" not in text


def test_another_attack_that_failed_is_no_silence(results: Results) -> None:
    cause = "not foreseen: RuntimeError: no rule (attacks/inversion/gradients.py:128; please report it)"
    nothing = (None, None, None, None, 0.95, 0)
    failed = Finding("inversion", "updates", "cosine", "server", "all clients", "psnr", *nothing, flag="error")
    result = replace(results["ordinary"](), findings=(replace(failed, headline=True, note=cause),))
    text = joined(printed(result))
    assert f"server: inversion: the declared attack failed, so there is no verdict: {cause}." in text
    assert "reconstructed no record" not in text
    assert banner(result).verdict == "The declared attack of the server failed, so there is no verdict"


def test_other_attacks_have_a_verdict_and_their_numbers(results: Results) -> None:
    text = joined(printed(results["other_attacks"]()))
    assert "loss is not finite" in text and "uploaded updates" in text and "2.16" in text
    findings = tuple(
        Finding("labels", "predictions", name, "server", "all clients", metric, v, 0, 0.2, 0.4, 0.95, 5, headline=top)
        for name, top in (("mean softmax", True), ("uniform guess", False))
        for metric, v in (("TV", 0.31), ("TV gain over the better guess", 0.3), ("KL", 0.77))
    )
    attacked = replace(results["other_attacks"](), findings=findings)
    text = joined(printed(attacked))
    assert "server learns which classes a client holds: mean softmax on predictions is nearer to the truth" in text
    assert "mean softmax * 0.31 [0.20, 0.40] +0.30 [+0.20, +0.40]" in text and "0.77" not in text


@pytest.mark.parametrize("kind", [brief, report])
def test_no_word_of_any_report_is_broken_at_80_columns(
    kind: Callable[[RunResult], Document], any_result: RunResult
) -> None:
    document = kind(any_result)
    shown = {word.strip(",:") for word in drawn(document).split()}
    assert not [word for word in words_of(document) if cell_len(word) <= 60 and word.strip(",:") not in shown]


def words_of(document: Document) -> list[str]:
    """Every word that a terminal must show whole; of several layouts those of the last, which it falls back on."""
    found = []
    for block in (block for section in document.sections for block in section.blocks):
        if isinstance(block, Line):
            found += block.text.split()
        elif isinstance(block, Facts):
            found += [word for pair in block.pairs for word in " ".join(pair).split()]
        else:
            fitting = block.options if isinstance(block, Layouts) else ((block,),)
            chosen = next((tables for tables in fitting if all(needed(t) <= 80 for t in tables)), fitting[-1])
            cells = [content for table in chosen for cells in table.rows for content in cells]
            found += [word for content in cells for line in content.lines for word in line.split()]
    return found


WORD = st.text("abcdefgh0123.-", min_size=1, max_size=30)
CELL = st.lists(WORD, min_size=1, max_size=6).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_no_word_of_any_table_is_broken(rows: list[list[str]]) -> None:
    columns = tuple(Column(f"title {place}", fold=place % 2 == 0) for place in range(len(rows[0])))
    table = Table(columns, tuple(row(cell(words) for words in cells) for cells in rows))
    text = drawn(Document("title", (Section("all", (table,)),)))
    assert max(map(cell_len, text.splitlines())) <= 80
    shown = set(text.split())
    assert {word for cells in rows for words in cells for word in words.split()} <= shown


def test_the_readme_shows_the_report_in_its_present_form(usual: RunResult) -> None:
    """Numbers are those of a real run; headings, the columns and what the rows are must be those of today."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = readme[readme.index("What it prints") :].split("```\n")[1]
    lines = shown.splitlines()
    assert len(lines) <= 60 and max(map(cell_len, lines)) <= 80
    alone = [f for f in usual.findings if f.statistic != "stack"]
    drawn = printed(replace(usual, findings=tuple(alone)))
    for mark in (
        r"^.* ─+$",
        r"^attack .*$",
        r"^(?:loss|null|headline,|highest:)",
        r"headline: declared[^.]*\.",
    ):
        found = [joined(words) for words in re.findall(mark, shown, re.MULTILINE)]
        assert found and set(found) <= {joined(words) for words in re.findall(mark, drawn, re.MULTILINE)}


def test_a_leak_has_to_clear_chance_for_all_adversaries_together(usual: RunResult, make: SimpleNamespace) -> None:
    near = [make.auc("joint", 0.53, 0.0285, headline=True, adversary=f"client-{k} (active)") for k in range(8)]
    text = joined(printed(replace(usual, findings=tuple(near))))
    assert text.count("Corrected for the number of adversaries the interval reaches chance") == 8
    first = banner(replace(usual, findings=tuple(near)))
    assert first.verdict.startswith("Inconclusive: membership may leak to") and first.tone == "warn"
    assert "Corrected" not in joined(printed(replace(usual, findings=tuple(near[:1]))))
